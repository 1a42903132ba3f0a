/*
 * sendfile. The kernel keeps the place in the file, in *offset or in the descriptor; so the rest is issued with the same
 * arguments but for the count.
 */
#include "transfer.h"

#include <sys/sendfile.h>

UPS_EXPORT __typeof__(sendfile) upstare_sendfile;
UPS_EXPORT __typeof__(sendfile64) upstare_sendfile64;

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

const struct ups_operation ups_op_sendfile = {"sendfile", run_sendfile, UPS_OP_SENDFILE, 4, false};

static ssize_t run(int out, int in, void *offset, size_t count) {
  struct ups_call call;
  ups_transfer_begin(&call, &ups_op_sendfile, out);
  call.argument[1] = in;
  call.argument[2] = (long)offset;
  call.argument[3] = (long)count;
  return ups_call_run(&call);
}

ssize_t upstare_sendfile(int out, int in, off_t *offset, size_t count) { return run(out, in, offset, count); }

ssize_t upstare_sendfile64(int out, int in, off64_t *offset, size_t count) { return run(out, in, offset, count); }
