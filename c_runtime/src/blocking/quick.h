/*
 * The first issue of a call, made without a description of the call: all that nearly every call needs. Only if it is
 * left without a result is the call described and run (call.h), from where this issue was left.
 */
#ifndef UPS_BLOCKING_QUICK_H
#define UPS_BLOCKING_QUICK_H

#include <x86intrin.h>

#include "call.h"

#include "../runtime.h"

/* What a description needs to know of the moment at which the call began. */
struct ups_quick {
  uint32_t seen_any, seen_interrupting;
  uint64_t ticks;
};

/* See arch/x86_64/cp.S. */
long ups_cp_quick(long a, long b, long c, long d, long e, long f, long number, const volatile uint32_t *stop);

/* Goes on with a call that ups_quick_issue has left with UPS_CP_STOPPED. `call` is described as it would be for
 * ups_call_run, now; the time since the first issue is taken off its deadline. What the C function returns. */
long ups_quick_go_on(struct ups_call *call, const struct ups_quick *quick);

/* Goes on with a transfer of `wanted` bytes of which `result` were done at first, `issued` at the most. */
long ups_quick_rest(struct ups_call *call, const struct ups_quick *quick, long result, uint64_t issued, uint64_t wanted);

void ups_quick_owed(struct ups_thread *self);

/* Can calls be made this way? Not under the storm, nor by threads that are not ours, nor once threads are cancelled. */
static inline bool ups_quick_possible(void) { return ups_self && !ups_storm_every && !ups_cancel_used; }

/* The system call's result (-errno), or UPS_CP_STOPPED. Afterwards ups_cp_place says if it was cut short. */
static inline long ups_quick_issue(struct ups_quick *quick, long number, long a, long b, long c, long d, long e, long f) {
  struct ups_thread *self = ups_self;
  quick->seen_any = ups_handlers_run.any;
  quick->seen_interrupting = ups_handlers_run.interrupting;
  quick->ticks = __rdtsc();
  ups_cp_place = UPS_PLACE_ELSEWHERE;
  long result = ups_cp_quick(a, b, c, d, e, f, number, (const volatile uint32_t *)&self->attention);
  if (__builtin_expect(self->owes_stop, 0) && result != UPS_CP_STOPPED)
    ups_quick_owed(self);
  return result;
}

#endif
