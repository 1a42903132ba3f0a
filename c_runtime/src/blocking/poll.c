/*
 * poll, ppoll, select, pselect, epoll_wait, epoll_pwait. None of them is ever restarted after a handler of the program.
 *
 * A timeout is made absolute at the start; what is left of it is worked out for each further issue. `state` is 0 for the
 * first issue, which is made just as it was asked for.
 */
#include "../first.h"
#include "call.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

UPS_EXPORT __typeof__(ppoll) upstare_ppoll;
UPS_EXPORT __typeof__(select) upstare_select;
UPS_EXPORT __typeof__(pselect) upstare_pselect;
UPS_EXPORT __typeof__(epoll_pwait) upstare_epoll_pwait;

#define MASK_SIZE sizeof(uint64_t) /* of the kernel's signal set */

static void set_timeout(struct ups_call *call, struct timespec length) {
  call->timed = 1;
  call->clock = CLOCK_MONOTONIC;
  call->until = ups_time_after(CLOCK_MONOTONIC, length);
}

/* Remembers the set to wait with, without the signals that are never blocked. False: none was given. */
static void set_mask(struct ups_call *call, const sigset_t *mask) {
  call->part = mask != NULL;
  if (mask) {
    memcpy(&call->mask, mask, sizeof call->mask);
    call->mask = ups_mask_filter(call->mask);
  }
}

static long mask_of(const struct ups_call *call) { return call->part ? (long)&call->mask : 0; }

static long run_poll(struct ups_call *call) {
  const long *argument = call->argument;
  for (;;) {
    long result;
    if (!call->state || !call->timed) {
      call->state = 1;
      result = ups_call_issue(call, SYS_poll, argument[0], argument[1], argument[2], 0, 0, 0);
    } else {
      struct timespec left = ups_time_left(call->clock, call->until);
      result = ups_call_issue(call, SYS_ppoll, argument[0], argument[1], (long)&left, 0, 0, 0);
    }
    if (result != UPS_CP_STOPPED)
      return ups_call_return(result);
  }
}

const struct ups_operation ups_op_poll = {"poll", run_poll, UPS_OP_POLL, 3, true};

static long run_ppoll(struct ups_call *call) {
  const long *argument = call->argument;
  for (;;) {
    struct timespec left;
    if (call->timed)
      left = ups_time_left(call->clock, call->until);
    long result = ups_call_issue(call, SYS_ppoll, argument[0], argument[1], (long)(call->timed ? &left : NULL),
                                 mask_of(call), MASK_SIZE, 0);
    if (result != UPS_CP_STOPPED)
      return ups_call_return(result);
  }
}

const struct ups_operation ups_op_ppoll = {"ppoll", run_ppoll, UPS_OP_PPOLL, 2, true};

static long issue_select(struct ups_call *call, struct timespec *left, long mask) {
  const struct {
    long mask;
    size_t size;
  } packed = {mask, MASK_SIZE};
  const long *argument = call->argument;
  if (call->timed)
    *left = ups_time_left(call->clock, call->until);
  return ups_call_issue(call, SYS_pselect6, argument[0], argument[1], argument[2], argument[3],
                        (long)(call->timed ? left : NULL), mask ? (long)&packed : 0);
}

/* Linux tells the caller how much of the time was not used, whatever the outcome. */
static long run_select(struct ups_call *call) {
  struct timeval *timeout = (struct timeval *)call->argument[4];
  struct timespec left;
  long result;
  do
    result = issue_select(call, &left, 0);
  while (result == UPS_CP_STOPPED);
  if (timeout && result != UPS_CP_UNROLLED) {
    if (result == -EINTR) /* perhaps found out without the kernel */
      left = ups_time_left(call->clock, call->until);
    *timeout = (struct timeval){left.tv_sec, left.tv_nsec / 1000};
  }
  return ups_call_return(result);
}

const struct ups_operation ups_op_select = {"select", run_select, UPS_OP_SELECT, 5, true};

static long run_pselect(struct ups_call *call) {
  struct timespec left;
  long result;
  do
    result = issue_select(call, &left, mask_of(call));
  while (result == UPS_CP_STOPPED);
  return ups_call_return(result);
}

const struct ups_operation ups_op_pselect = {"pselect", run_pselect, UPS_OP_PSELECT, 4, true};

static long wait_events(struct ups_call *call, long number) {
  const long *argument = call->argument;
  for (;;) {
    long timeout = argument[3];
    if (call->state && call->timed)
      timeout = ups_time_left_ms(call->clock, call->until);
    call->state = 1;
    long result = ups_call_issue(call, number, argument[0], argument[1], argument[2], timeout,
                                 number == SYS_epoll_pwait ? mask_of(call) : 0, MASK_SIZE);
    if (result != UPS_CP_STOPPED)
      return ups_call_return(result);
  }
}

static long run_epoll_wait(struct ups_call *call) { return wait_events(call, SYS_epoll_wait); }

const struct ups_operation ups_op_epoll_wait = {"epoll_wait", run_epoll_wait, UPS_OP_EPOLL_WAIT, 4, true};

static long run_epoll_pwait(struct ups_call *call) { return wait_events(call, SYS_epoll_pwait); }

const struct ups_operation ups_op_epoll_pwait = {"epoll_pwait", run_epoll_pwait, UPS_OP_EPOLL_PWAIT, 4, true};

void ups_begin_poll(struct ups_call *call, long number, const long *arguments, bool issued) {
  (void)arguments;
  int timeout = (int)call->argument[number == SYS_poll ? 2 : 3];
  call->interruption = UPS_INTERRUPTS;
  if (timeout > 0)
    set_timeout(call, ups_time_of_ms(timeout));
  call->state = issued;
}

int upstare_ppoll(struct pollfd *descriptors, nfds_t count, const struct timespec *timeout, const sigset_t *mask) {
  struct ups_call call;
  ups_call_begin(&call, &ups_op_ppoll, UPS_INTERRUPTS);
  call.argument[0] = (long)descriptors;
  call.argument[1] = (long)count;
  if (timeout) {
    if (timeout->tv_sec < 0 || !ups_time_valid(timeout))
      return (int)ups_call_return(-EINVAL);
    set_timeout(&call, *timeout);
  }
  set_mask(&call, mask);
  return (int)ups_call_run(&call);
}

void ups_begin_select(struct ups_call *call, long number, const long *arguments, bool issued) {
  struct ups_select_limit *limit = (struct ups_select_limit *)arguments[4];
  (void)number, (void)issued;
  call->interruption = UPS_INTERRUPTS;
  call->argument[4] = 0;
  if (limit) {
    limit->left.tv_nsec = -1;
    call->argument[4] = (long)limit->timeout;
    set_timeout(call, limit->whole);
  }
}

int ups_plain_select(int count, fd_set *read, fd_set *write, fd_set *except, struct ups_select_limit *limit,
                     void *none) {
  (void)none;
  if (limit)
    limit->left.tv_nsec = -1;
  return select(count, read, write, except, limit ? limit->timeout : NULL);
}

int upstare_select(int count, fd_set *restrict read, fd_set *restrict write, fd_set *restrict except,
                   struct timeval *restrict timeout) {
  struct ups_select_limit limit;
  if (!timeout)
    return (int)ups_first_select(count, read, write, except, NULL, NULL);
  if (timeout->tv_sec < 0 || timeout->tv_usec < 0)
    return (int)ups_call_return(-EINVAL);
  limit.whole.tv_sec = timeout->tv_sec;
  if (__builtin_add_overflow(limit.whole.tv_sec, timeout->tv_usec / 1000000, &limit.whole.tv_sec))
    limit.whole.tv_sec = INT64_MAX;
  limit.whole.tv_nsec = timeout->tv_usec % 1000000 * 1000;
  limit.left = limit.whole;
  limit.timeout = timeout;
  int result = (int)ups_first_select(count, read, write, except, &limit, NULL);
  if (limit.left.tv_nsec >= 0)
    *timeout = (struct timeval){limit.left.tv_sec, limit.left.tv_nsec / 1000};
  return result;
}

int upstare_pselect(int count, fd_set *restrict read, fd_set *restrict write, fd_set *restrict except,
                    const struct timespec *restrict timeout, const sigset_t *restrict mask) {
  struct ups_call call;
  ups_call_begin(&call, &ups_op_pselect, UPS_INTERRUPTS);
  call.argument[0] = count;
  call.argument[1] = (long)read;
  call.argument[2] = (long)write;
  call.argument[3] = (long)except;
  if (timeout) {
    if (timeout->tv_sec < 0 || !ups_time_valid(timeout))
      return (int)ups_call_return(-EINVAL);
    set_timeout(&call, *timeout);
  }
  set_mask(&call, mask);
  return (int)ups_call_run(&call);
}

int upstare_epoll_pwait(int fd, struct epoll_event *events, int count, int timeout, const sigset_t *mask) {
  struct ups_call call;
  ups_call_begin(&call, &ups_op_epoll_pwait, UPS_INTERRUPTS);
  call.argument[0] = fd;
  call.argument[1] = (long)events;
  call.argument[2] = count;
  call.argument[3] = timeout;
  if (timeout > 0)
    set_timeout(&call, ups_time_of_ms(timeout));
  set_mask(&call, mask);
  return (int)ups_call_run(&call);
}
