/*
 * sigsuspend, sigwait, sigwaitinfo, sigtimedwait. The reserved signal is not theirs to take.
 */
#include "call.h"

#include "../runtime.h"

UPS_EXPORT __typeof__(sigsuspend) upstare_sigsuspend;
UPS_EXPORT __typeof__(sigwait) upstare_sigwait;
UPS_EXPORT __typeof__(sigwaitinfo) upstare_sigwaitinfo;
UPS_EXPORT __typeof__(sigtimedwait) upstare_sigtimedwait;

static long run_sigsuspend(struct ups_call *call) {
  for (;;) {
    long result = ups_call_issue(call, SYS_rt_sigsuspend, (long)&call->mask, sizeof call->mask, 0, 0, 0, 0);
    if (result != UPS_CP_STOPPED)
      return ups_call_return(result);
  }
}

const struct ups_operation ups_op_sigsuspend = {"sigsuspend", run_sigsuspend, UPS_OP_SIGSUSPEND, 1, true};

/* The signal's number, -errno or UPS_CP_UNROLLED. */
static long take(struct ups_call *call, siginfo_t *information) {
  for (;;) {
    struct timespec left;
    if (call->timed)
      left = ups_time_left(call->clock, call->until);
    long result = ups_call_issue(call, SYS_rt_sigtimedwait, (long)&call->mask, (long)information,
                                 (long)(call->timed ? &left : NULL), sizeof call->mask, 0, 0);
    if (result != UPS_CP_STOPPED)
      return result;
  }
}

static long run_sigtimedwait(struct ups_call *call) {
  siginfo_t *information = (siginfo_t *)call->argument[0];
  long result = take(call, information);
  if (result > 0 && information && information->si_code == SI_TKILL)
    information->si_code = SI_USER; /* as libc does */
  return ups_call_return(result);
}

const struct ups_operation ups_op_sigtimedwait = {"sigtimedwait", run_sigtimedwait, UPS_OP_SIGTIMEDWAIT, 1, true};

static long run_sigwait(struct ups_call *call) {
  long result;
  do
    result = take(call, NULL);
  while (result == -EINTR);
  if (result < 0)
    return result == UPS_CP_UNROLLED ? 0 : -result;
  *(int *)call->argument[0] = (int)result;
  return 0;
}

const struct ups_operation ups_op_sigwait = {"sigwait", run_sigwait, UPS_OP_SIGWAIT, 1, true};

static void begin(struct ups_call *call, const struct ups_operation *operation, enum ups_interruption interruption,
                  const sigset_t *set, void *out) {
  ups_call_begin(call, operation, interruption);
  memcpy(&call->mask, set, sizeof call->mask);
  call->mask &= ~(1ull << (UPS_SIGNAL - 1));
  call->argument[0] = (long)out;
}

int upstare_sigsuspend(const sigset_t *mask) {
  struct ups_call call;
  begin(&call, &ups_op_sigsuspend, UPS_INTERRUPTS, mask, NULL);
  call.mask = ups_mask_filter(call.mask);
  return (int)ups_call_run(&call);
}

int upstare_sigwait(const sigset_t *restrict set, int *restrict number) {
  struct ups_call call;
  begin(&call, &ups_op_sigwait, UPS_INSENSITIVE, set, number);
  return (int)ups_call_run(&call);
}

int upstare_sigtimedwait(const sigset_t *restrict set, siginfo_t *restrict information,
                         const struct timespec *restrict timeout) {
  struct ups_call call;
  begin(&call, &ups_op_sigtimedwait, UPS_INTERRUPTS, set, information);
  if (timeout) {
    if (timeout->tv_sec < 0 || !ups_time_valid(timeout))
      return (int)ups_call_return(-EINVAL);
    call.timed = 1;
    call.clock = CLOCK_MONOTONIC;
    call.until = ups_time_after(CLOCK_MONOTONIC, *timeout);
  }
  return (int)ups_call_run(&call);
}

int upstare_sigwaitinfo(const sigset_t *restrict set, siginfo_t *restrict information) {
  return upstare_sigtimedwait(set, information, NULL);
}
