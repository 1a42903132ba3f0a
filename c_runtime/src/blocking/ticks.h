/*
 * When something was, in ticks of the processor, which cost nothing to read.
 */
#ifndef UPS_BLOCKING_TICKS_H
#define UPS_BLOCKING_TICKS_H

#include <stdint.h>

#pragma GCC visibility push(hidden)

/* How long ago that was, in seconds: 0 if it cannot be known. */
double ups_ticks_elapsed(uint64_t ticks);

#pragma GCC visibility pop

#endif
