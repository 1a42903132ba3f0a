/*
 * accept, accept4, connect.
 *
 * A blocking connect that was interrupted goes on in the kernel; issued again while the socket is connecting, it waits
 * for the outcome and answers it (Linux, inet_stream_connect). With SO_SNDTIMEO the kernel answers EINTR instead of
 * restarting; the rest of that time is then waited for here, and its end is EINPROGRESS as in the kernel.
 */
#include "../first.h"
#include "transfer.h"

/* Both are the system calls that libc would make: a sandbox may know only those. `state` 1: accept4. */
static long run_accept(struct ups_call *call) {
  long number = call->state ? SYS_accept4 : SYS_accept;
  return ups_call_return(
      ups_transfer(call, POLLIN, number, call->argument[1], call->argument[2], call->argument[3], 0, 0));
}

void ups_begin_accept(struct ups_call *call, long number, const long *arguments, bool issued) {
  (void)arguments, (void)issued;
  call->state = number == SYS_accept4;
  if (!call->state)
    call->argument[3] = 0;
}

const struct ups_operation ups_op_accept = {"accept", run_accept, UPS_OP_ACCEPT, 4, true};

static long run_connect(struct ups_call *call) {
  return ups_call_return(ups_transfer(call, POLLOUT, SYS_connect, call->argument[1], call->argument[2], 0, 0, 0));
}

const struct ups_operation ups_op_connect = {"connect", run_connect, UPS_OP_CONNECT, 3, true};
