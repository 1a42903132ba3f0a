/*
 * nanosleep, clock_nanosleep, sleep, usleep: always a sleep until a time. And pause, which has none.
 */
#include "call.h"

#include <unistd.h>

UPS_EXPORT __typeof__(nanosleep) upstare_nanosleep;
UPS_EXPORT __typeof__(clock_nanosleep) upstare_clock_nanosleep;
UPS_EXPORT __typeof__(sleep) upstare_sleep;
UPS_EXPORT __typeof__(usleep) upstare_usleep;
UPS_EXPORT __typeof__(pause) upstare_pause;

static void begin(struct ups_call *call, const struct ups_operation *operation, clockid_t clock,
                  struct timespec length) {
  ups_call_begin(call, operation, UPS_INTERRUPTS);
  call->clock = clock;
  call->until = ups_time_after(clock, length);
}

/* 0, -errno or UPS_CP_UNROLLED. */
static long sleep_until(struct ups_call *call) {
  for (;;) {
    long result = ups_call_issue(call, SYS_clock_nanosleep, call->clock, TIMER_ABSTIME, (long)&call->until, 0, 0, 0);
    if (result != UPS_CP_STOPPED)
      return result;
  }
}

/* The same, and what is left of it when a handler ended it. */
static long sleep_and_tell(struct ups_call *call) {
  struct timespec *remaining = (struct timespec *)call->argument[0];
  long result = sleep_until(call);
  if (result == -EINTR && remaining)
    *remaining = ups_time_left(call->clock, call->until);
  return result;
}

static long run_nanosleep(struct ups_call *call) { return ups_call_return(sleep_and_tell(call)); }

const struct ups_operation ups_op_nanosleep = {"nanosleep", run_nanosleep, UPS_OP_NANOSLEEP, 1, true};

static long run_clock_nanosleep(struct ups_call *call) {
  long result = sleep_and_tell(call);
  return result == UPS_CP_UNROLLED ? 0 : -result;
}

const struct ups_operation ups_op_clock_nanosleep = {"clock_nanosleep", run_clock_nanosleep, UPS_OP_CLOCK_NANOSLEEP, 1,
                                                     true};

static long run_sleep(struct ups_call *call) {
  long result = sleep_until(call);
  if (result != -EINTR)
    return 0;
  errno = EINTR;
  return ups_time_left(call->clock, call->until).tv_sec;
}

const struct ups_operation ups_op_sleep = {"sleep", run_sleep, UPS_OP_SLEEP, 0, true};

static long run_usleep(struct ups_call *call) { return ups_call_return(sleep_until(call)); }

const struct ups_operation ups_op_usleep = {"usleep", run_usleep, UPS_OP_USLEEP, 0, true};

static long run_pause(struct ups_call *call) {
  for (;;) {
    long result = ups_call_issue(call, SYS_pause, 0, 0, 0, 0, 0, 0);
    if (result != UPS_CP_STOPPED)
      return ups_call_return(result);
  }
}

const struct ups_operation ups_op_pause = {"pause", run_pause, UPS_OP_PAUSE, 0, true};

int upstare_nanosleep(const struct timespec *length, struct timespec *remaining) {
  struct ups_call call;
  if (length->tv_sec < 0 || !ups_time_valid(length))
    return (int)ups_call_return(-EINVAL);
  begin(&call, &ups_op_nanosleep, CLOCK_MONOTONIC, *length);
  call.argument[0] = (long)remaining;
  return (int)ups_call_run(&call);
}

int upstare_clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *remaining) {
  struct ups_call call;
  struct timespec now;
  if (clock == CLOCK_THREAD_CPUTIME_ID || clock_gettime(clock, &now) || time->tv_sec < 0 || !ups_time_valid(time))
    return clock_nanosleep(clock, flags, time, remaining); /* whatever error that is */
  if (flags & TIMER_ABSTIME) {
    ups_call_begin(&call, &ups_op_clock_nanosleep, UPS_INTERRUPTS);
    call.clock = clock;
    call.until = *time;
    call.argument[0] = 0; /* such a sleep has no remainder */
  } else {
    /* Setting the time of day does not touch a relative sleep. */
    begin(&call, &ups_op_clock_nanosleep, clock == CLOCK_REALTIME || clock == CLOCK_TAI ? CLOCK_MONOTONIC : clock, *time);
    call.argument[0] = (long)remaining;
  }
  return (int)ups_call_run(&call);
}

unsigned int upstare_sleep(unsigned int seconds) {
  struct ups_call call;
  begin(&call, &ups_op_sleep, CLOCK_MONOTONIC, (struct timespec){seconds, 0});
  return (unsigned int)ups_call_run(&call);
}

int upstare_usleep(useconds_t length) {
  struct ups_call call;
  begin(&call, &ups_op_usleep, CLOCK_MONOTONIC, (struct timespec){length / 1000000, (long)(length % 1000000) * 1000});
  return (int)ups_call_run(&call);
}

int upstare_pause(void) {
  struct ups_call call;
  ups_call_begin(&call, &ups_op_pause, UPS_INTERRUPTS);
  return (int)ups_call_run(&call);
}
