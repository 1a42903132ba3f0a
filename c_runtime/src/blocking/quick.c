/*
 * From the first issue of a call to its description.
 *
 * When the call began is known in ticks of the processor only, which cost nothing to read; how long they are is found
 * out when it is needed, from the time and the ticks since the program's start.
 */
#include <x86intrin.h>

#include "quick.h"

#include "transfer.h"

static struct {
  uint64_t ticks;
  struct timespec time;
} start;

__attribute__((constructor)) static void note_start(void) {
  clock_gettime(CLOCK_MONOTONIC, &start.time);
  start.ticks = __rdtsc();
}

static double seconds(struct timespec time) { return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec; }

/* How long ago `ticks` were, in seconds. */
static double elapsed(uint64_t ticks) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  double whole = seconds(now) - seconds(start.time), all = (double)(__rdtsc() - start.ticks);
  double part = (double)(int64_t)(__rdtsc() - ticks);
  if (all <= 0 || part <= 0)
    return 0;
  return part < all ? whole * part / all : whole;
}

static void begin_earlier(struct ups_call *call, const struct ups_quick *quick) {
  call->place = (uint8_t)ups_cp_place;
  call->seen_any = quick->seen_any;
  call->seen_interrupting = quick->seen_interrupting;
  double until = seconds(call->until) - elapsed((uint64_t)quick->ticks_high << 32 | quick->ticks_low);
  if (until > 0 && until < 1e9) { /* beyond that, nobody counts nanoseconds */
    call->until.tv_sec = (time_t)until;
    call->until.tv_nsec = (long)((until - (double)call->until.tv_sec) * 1e9);
  }
}

long ups_quick_go_on(struct ups_call *call, const struct ups_quick *quick) {
  begin_earlier(call, quick);
  return ups_call_go_on(call);
}

long ups_quick_rest(struct ups_call *call, const struct ups_quick *quick, long result, uint64_t issued, uint64_t wanted) {
  begin_earlier(call, quick);
  if (!ups_transfer_goes_on(call, &result, issued, wanted))
    return ups_call_return(result);
  return ups_call_again(call);
}

long ups_quick_settle(long result) {
  struct ups_thread *self = ups_self;
  if (self && self->owes_stop && result != UPS_CP_STOPPED) {
    self->owes_stop = false;
    atomic_fetch_or(&self->attention, UPS_ATTENTION_STOP);
  }
  return result;
}
