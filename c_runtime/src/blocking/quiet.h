/*
 * Does anything want the thread at a point? The check before each blocking call.
 */
#ifndef UPS_BLOCKING_QUIET_H
#define UPS_BLOCKING_QUIET_H

#include "../runtime.h"

#pragma GCC visibility push(hidden)

/* Nothing does: no storm, no attention asked for. A stop that begins just now is seen in the region. any. */
static inline bool ups_call_quiet(void) {
  struct ups_thread *self = ups_self;
  return !ups_storm_every && (!self || !atomic_load_explicit(&self->attention, memory_order_relaxed));
}

#pragma GCC visibility pop

#endif
