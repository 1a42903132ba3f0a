/*
 * wait, waitpid, wait3, wait4, waitid.
 */
#include "call.h"

#include <sys/resource.h>
#include <sys/wait.h>

UPS_EXPORT __typeof__(wait) upstare_wait;
UPS_EXPORT __typeof__(wait3) upstare_wait3;
UPS_EXPORT __typeof__(wait4) upstare_wait4;
UPS_EXPORT __typeof__(waitid) upstare_waitid;

static long run(struct ups_call *call, long number) {
  const long *argument = call->argument;
  for (;;) {
    long result = ups_call_issue(call, number, argument[0], argument[1], argument[2], argument[3], 0, 0);
    if (result != UPS_CP_STOPPED)
      return ups_call_return(result);
  }
}

static long run_wait4(struct ups_call *call) { return run(call, SYS_wait4); }

const struct ups_operation ups_op_wait4 = {"waitpid", run_wait4, UPS_OP_WAIT4, 4, true};

static long run_waitid(struct ups_call *call) { return run(call, SYS_waitid); }

const struct ups_operation ups_op_waitid = {"waitid", run_waitid, UPS_OP_WAITID, 4, true};

pid_t upstare_wait3(int *status, int options, struct rusage *usage) {
  return upstare_wait4(WAIT_ANY, status, options, usage);
}

pid_t upstare_wait(int *status) { return upstare_wait4(WAIT_ANY, status, 0, NULL); }

int upstare_waitid(idtype_t type, id_t id, siginfo_t *information, int options) {
  struct ups_call call;
  ups_call_begin(&call, &ups_op_waitid, UPS_RESTARTS);
  call.argument[0] = (long)type;
  call.argument[1] = (long)id;
  call.argument[2] = (long)information;
  call.argument[3] = options;
  return (int)ups_call_run(&call);
}
