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

long ups_run_accept(struct ups_call *call) {
  return ups_call_return(ups_transfer(call, POLLIN, SYS_accept4, call->argument[1], call->argument[2],
                                      call->argument[3], 0, 0));
}

long ups_run_connect(struct ups_call *call) {
  return ups_call_return(ups_transfer(call, POLLOUT, SYS_connect, call->argument[1], call->argument[2], 0, 0, 0));
}

int upstare_accept4(int fd, __SOCKADDR_ARG address, socklen_t *restrict length, int flags) {
  struct ups_call call;
  ups_transfer_begin(&call, UPS_OP_ACCEPT, fd);
  call.argument[1] = (long)address.__sockaddr__;
  call.argument[2] = (long)length;
  call.argument[3] = flags;
  return (int)ups_call_run(&call);
}

int upstare_accept(int fd, __SOCKADDR_ARG address, socklen_t *restrict length) {
  return upstare_accept4(fd, address, length, 0);
}

int upstare_connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t length) {
  struct ups_call call;
  ups_transfer_begin(&call, UPS_OP_CONNECT, fd);
  call.argument[1] = (long)address.__sockaddr__;
  call.argument[2] = length;
  return (int)ups_call_run(&call);
}
