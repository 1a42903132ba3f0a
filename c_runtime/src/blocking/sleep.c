/*
 * nanosleep, clock_nanosleep, sleep, usleep: once described, always a sleep until a time. And pause, which has none.
 */
#include "../first.h"
#include "call.h"

#include <unistd.h>

UPS_EXPORT __typeof__(nanosleep) upstare_nanosleep;
UPS_EXPORT __typeof__(clock_nanosleep) upstare_clock_nanosleep;
UPS_EXPORT __typeof__(sleep) upstare_sleep;
UPS_EXPORT __typeof__(usleep) upstare_usleep;

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

void ups_begin_nanosleep(struct ups_call *call, long number, const long *arguments, bool issued) {
  const struct timespec *length = (const struct timespec *)arguments[2];
  (void)number, (void)issued;
  call->interruption = UPS_INTERRUPTS;
  call->clock = CLOCK_MONOTONIC; /* setting the time of day does not touch a relative sleep */
  bool valid = length->tv_sec >= 0 && ups_time_valid(length);
  call->until = valid ? ups_time_after(call->clock, *length) : *length; /* which the kernel refuses */
  struct ups_sleep_left *left = (struct ups_sleep_left *)arguments[3];
  left->left.tv_nsec = -1;
  call->argument[0] = (long)left->remaining;
}

void ups_begin_pause(struct ups_call *call, long number, const long *arguments, bool issued) {
  (void)number, (void)arguments, (void)issued;
  call->interruption = UPS_INTERRUPTS;
}

static long run_pause(struct ups_call *call) {
  for (;;) {
    long result = ups_call_issue(call, SYS_pause, 0, 0, 0, 0, 0, 0);
    if (result != UPS_CP_STOPPED)
      return ups_call_return(result);
  }
}

const struct ups_operation ups_op_pause = {"pause", run_pause, UPS_OP_PAUSE, 0, true};

int ups_plain_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct ups_sleep_left *left) {
  (void)clock, (void)flags;
  return nanosleep(time, &left->left);
}

int upstare_nanosleep(const struct timespec *length, struct timespec *remaining) {
  struct ups_sleep_left left = {{0, -1}, remaining};
  int result = (int)ups_first_nanosleep(CLOCK_REALTIME, 0, length, &left);
  if (remaining && left.left.tv_nsec >= 0)
    *remaining = left.left;
  return result;
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
  struct timespec time = {seconds, 0};
  struct ups_sleep_left left = {{0, -1}, NULL};
  long result = ups_first_sleep(CLOCK_REALTIME, 0, &time, &left);
  return (unsigned int)(result < 0 ? left.left.tv_sec : result);
}

int upstare_usleep(useconds_t length) {
  struct timespec time = {length / 1000000, (long)(length % 1000000) * 1000};
  return upstare_nanosleep(&time, NULL);
}
