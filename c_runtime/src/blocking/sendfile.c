/*
 * sendfile. The kernel keeps the place in the file, in *offset or in the descriptor; so the rest is issued with the same
 * arguments but for the count.
 */
#include "transfer.h"

#include <sys/sendfile.h>

_Static_assert(sizeof(off_t) == sizeof(off64_t), "both are the one system call");

static long run_sendfile(struct ups_call *call) {
  const long *argument = call->argument;
  uint64_t size = (uint64_t)argument[3];
  for (;;) {
    uint64_t rest = size - call->progress;
    long result = ups_transfer(call, POLLOUT, SYS_sendfile, argument[1], argument[2], (long)rest, 0, 0);
    if (!ups_transfer_goes_on(call, &result, rest, size))
      return ups_call_return(result);
  }
}

uint64_t ups_sendfile_wanted(const struct ups_call *call) { return (uint64_t)call->argument[3]; }

const struct ups_operation ups_op_sendfile = {"sendfile", run_sendfile, UPS_OP_SENDFILE, 4, false};
