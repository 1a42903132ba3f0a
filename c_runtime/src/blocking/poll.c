/*
 * poll, ppoll, select, pselect, epoll_wait, epoll_pwait. None of them is ever restarted after a handler of the program.
 *
 * A timeout is made absolute at the start; what is left of it is worked out for each further issue. `state` is 0 for the
 * first issue, which is made just as it was asked for.
 */
#include "quick.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

UPS_EXPORT __typeof__(poll) upstare_poll;
UPS_EXPORT __typeof__(ppoll) upstare_ppoll;
UPS_EXPORT __typeof__(select) upstare_select;
UPS_EXPORT __typeof__(pselect) upstare_pselect;
UPS_EXPORT __typeof__(epoll_wait) upstare_epoll_wait;
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

UPS_SLOW int poll_on(struct pollfd *descriptors, nfds_t count, int timeout, const struct ups_quick *quick,
                     long result) {
  if (ups_quick_settle(result) != UPS_CP_STOPPED)
    return (int)ups_call_return(result);
  struct ups_call call;
  ups_call_begin(&call, &ups_op_poll, UPS_INTERRUPTS);
  call.argument[0] = (long)descriptors;
  call.argument[1] = (long)count;
  call.argument[2] = timeout;
  if (timeout > 0)
    set_timeout(&call, ups_time_of_ms(timeout));
  call.state = quick != NULL;
  return (int)ups_quick_run(&call, quick);
}

int upstare_poll(struct pollfd *descriptors, nfds_t count, int timeout) {
  struct ups_quick quick;
  if (__builtin_expect(!ups_quick_possible(), 0))
    return poll_on(descriptors, count, timeout, NULL, UPS_CP_STOPPED);
  long timeout_argument = ups_quick_int(timeout);
  long result = ups_quick_issue(&quick, SYS_poll, (long)descriptors, (long)count, timeout_argument, 0, 0, 0);
  return ups_quick_done(result) ? (int)result : poll_on(descriptors, count, (int)timeout_argument, &quick, result);
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

static void begin_select(struct ups_call *call, const struct ups_operation *operation, int count, fd_set *read,
                         fd_set *write, fd_set *except) {
  ups_call_begin(call, operation, UPS_INTERRUPTS);
  call->argument[0] = count;
  call->argument[1] = (long)read;
  call->argument[2] = (long)write;
  call->argument[3] = (long)except;
}

int upstare_select(int count, fd_set *restrict read, fd_set *restrict write, fd_set *restrict except,
                   struct timeval *restrict timeout) {
  struct ups_call call;
  begin_select(&call, &ups_op_select, count, read, write, except);
  call.argument[4] = (long)timeout;
  if (timeout) {
    if (timeout->tv_sec < 0 || timeout->tv_usec < 0)
      return (int)ups_call_return(-EINVAL);
    struct timespec seconds = {timeout->tv_sec, 0};
    set_timeout(&call, ups_time_add(seconds, (struct timespec){timeout->tv_usec / 1000000,
                                                                timeout->tv_usec % 1000000 * 1000}));
  }
  return (int)ups_call_run(&call);
}

int upstare_pselect(int count, fd_set *restrict read, fd_set *restrict write, fd_set *restrict except,
                    const struct timespec *restrict timeout, const sigset_t *restrict mask) {
  struct ups_call call;
  begin_select(&call, &ups_op_pselect, count, read, write, except);
  if (timeout) {
    if (timeout->tv_sec < 0 || !ups_time_valid(timeout))
      return (int)ups_call_return(-EINVAL);
    set_timeout(&call, *timeout);
  }
  set_mask(&call, mask);
  return (int)ups_call_run(&call);
}

static void begin_events(struct ups_call *call, const struct ups_operation *operation, int fd,
                         struct epoll_event *events, int count, int timeout) {
  ups_call_begin(call, operation, UPS_INTERRUPTS);
  call->argument[0] = fd;
  call->argument[1] = (long)events;
  call->argument[2] = count;
  call->argument[3] = timeout;
  if (timeout > 0)
    set_timeout(call, ups_time_of_ms(timeout));
}

UPS_SLOW int epoll_wait_on(int fd, struct epoll_event *events, int count, int timeout, const struct ups_quick *quick,
                           long result) {
  if (ups_quick_settle(result) != UPS_CP_STOPPED)
    return (int)ups_call_return(result);
  struct ups_call call;
  begin_events(&call, &ups_op_epoll_wait, fd, events, count, timeout);
  call.state = quick != NULL;
  return (int)ups_quick_run(&call, quick);
}

int upstare_epoll_wait(int fd, struct epoll_event *events, int count, int timeout) {
  struct ups_quick quick;
  if (__builtin_expect(!ups_quick_possible(), 0))
    return epoll_wait_on(fd, events, count, timeout, NULL, UPS_CP_STOPPED);
  long fd_argument = ups_quick_int(fd);
  long count_argument = ups_quick_int(count);
  long timeout_argument = ups_quick_int(timeout);
  long result =
      ups_quick_issue(&quick, SYS_epoll_wait, fd_argument, (long)events, count_argument, timeout_argument, 0, 0);
  if (ups_quick_done(result))
    return (int)result;
  return epoll_wait_on((int)fd_argument, events, (int)count_argument, (int)timeout_argument, &quick, result);
}

int upstare_epoll_pwait(int fd, struct epoll_event *events, int count, int timeout, const sigset_t *mask) {
  struct ups_call call;
  begin_events(&call, &ups_op_epoll_pwait, fd, events, count, timeout);
  set_mask(&call, mask);
  return (int)ups_call_run(&call);
}
