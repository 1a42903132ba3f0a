/*
 * accept, accept4, connect.
 *
 * A blocking connect that was interrupted goes on in the kernel; issued again while the socket is connecting, it waits
 * for the outcome and answers it (Linux, inet_stream_connect). With SO_SNDTIMEO the kernel answers EINTR instead of
 * restarting; the rest of that time is then waited for here, and its end is EINPROGRESS as in the kernel.
 */
#include "transfer.h"

UPS_EXPORT __typeof__(accept) upstare_accept;
UPS_EXPORT __typeof__(accept4) upstare_accept4;
UPS_EXPORT __typeof__(connect) upstare_connect;

/* Both are the system calls that libc would make: a sandbox may know only those. `state` 1: accept4. */
static long run_accept(struct ups_call *call) {
  long number = call->state ? SYS_accept4 : SYS_accept;
  return ups_call_return(
      ups_transfer(call, POLLIN, number, call->argument[1], call->argument[2], call->argument[3], 0, 0));
}

const struct ups_operation ups_op_accept = {"accept", run_accept, UPS_OP_ACCEPT, 4, true};

static long run_connect(struct ups_call *call) {
  return ups_call_return(ups_transfer(call, POLLOUT, SYS_connect, call->argument[1], call->argument[2], 0, 0, 0));
}

const struct ups_operation ups_op_connect = {"connect", run_connect, UPS_OP_CONNECT, 3, true};

static int accept_from(int fd, struct sockaddr *address, socklen_t *length, int flags, bool with_flags) {
  struct ups_call call;
  ups_transfer_begin(&call, &ups_op_accept, fd);
  call.argument[1] = (long)address;
  call.argument[2] = (long)length;
  call.argument[3] = flags;
  call.state = with_flags;
  return (int)ups_call_run(&call);
}

int upstare_accept4(int fd, __SOCKADDR_ARG address, socklen_t *restrict length, int flags) {
  return accept_from(fd, address.__sockaddr__, length, flags, true);
}

int upstare_accept(int fd, __SOCKADDR_ARG address, socklen_t *restrict length) {
  return accept_from(fd, address.__sockaddr__, length, 0, false);
}

int upstare_connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t length) {
  struct ups_call call;
  ups_transfer_begin(&call, &ups_op_connect, fd);
  call.argument[1] = (long)address.__sockaddr__;
  call.argument[2] = length;
  return (int)ups_call_run(&call);
}
