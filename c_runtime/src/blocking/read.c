/*
 * read, readv, recv, recvfrom, recvmsg, recvmmsg.
 */
#include "quick.h"
#include "transfer.h"

#define ERESTARTSYS 512 /* of the kernel; meant to stay inside it */

UPS_EXPORT __typeof__(read) upstare_read;
UPS_EXPORT __typeof__(readv) upstare_readv;
UPS_EXPORT __typeof__(recv) upstare_recv;
UPS_EXPORT __typeof__(recvfrom) upstare_recvfrom;
UPS_EXPORT __typeof__(recvmsg) upstare_recvmsg;
UPS_EXPORT __typeof__(recvmmsg) upstare_recvmmsg;

/* A read that moved anything is complete, however little it is. */
static long run_read(struct ups_call *call) {
  return ups_call_return(ups_transfer(call, POLLIN, SYS_read, call->argument[1], call->argument[2], 0, 0, 0));
}

const struct ups_operation ups_op_read = {"read", run_read, UPS_OP_READ, 3, true};

static long run_readv(struct ups_call *call) {
  return ups_call_return(ups_transfer(call, POLLIN, SYS_readv, call->argument[1], call->argument[2], 0, 0, 0));
}

const struct ups_operation ups_op_readv = {"readv", run_readv, UPS_OP_READV, 3, true};

/* Only with MSG_WAITALL does a receive go on after the first data. */
static bool waits_for_all(int flags) { return (flags & MSG_WAITALL) && !(flags & (MSG_PEEK | MSG_DONTWAIT)); }

static long run_recvfrom(struct ups_call *call) {
  const long *argument = call->argument;
  uint64_t size = (uint64_t)argument[2];
  for (;;) {
    uint64_t rest = size - call->progress;
    long result = ups_transfer(call, POLLIN, SYS_recvfrom, argument[1] + (long)call->progress, (long)rest, argument[3],
                               argument[4], argument[5]);
    if (!waits_for_all((int)argument[3]) || !ups_transfer_goes_on(call, &result, rest, size))
      return ups_call_return(result);
  }
}

const struct ups_operation ups_op_recvfrom = {"recv", run_recvfrom, UPS_OP_RECVFROM, 6, true};

static long run_recvmsg(struct ups_call *call) {
  struct msghdr *message = (struct msghdr *)call->argument[1];
  int flags = (int)call->argument[2];
  for (;;) {
    struct msghdr rest, *now = message;
    struct iovec first;
    if (call->progress) { /* the address and the control data came with the first part */
      now = &rest;
      rest = (struct msghdr){.msg_iovlen = message->msg_iovlen};
      rest.msg_iov = (struct iovec *)ups_vector_rest(message->msg_iov, &rest.msg_iovlen, call->progress, &first);
    }
    long result = ups_transfer(call, POLLIN, SYS_recvmsg, (long)now, flags, 0, 0, 0);
    if (!waits_for_all(flags) || ups_transfer_plain(call, result) ||
        !ups_transfer_goes_on(call, &result, ups_vector_size(now->msg_iov, now->msg_iovlen),
                              ups_vector_size(message->msg_iov, message->msg_iovlen)))
      return ups_call_return(result);
  }
}

const struct ups_operation ups_op_recvmsg = {"recvmsg", run_recvmsg, UPS_OP_RECVMSG, 3, true};

/*
 * The kernel looks at the timeout only after a message has come; so does this. What is left of it is written back, as
 * the kernel does. `progress` counts messages; the rest is waited for as long as the kernel would have.
 */
static long run_recvmmsg(struct ups_call *call) {
  struct mmsghdr *messages = (struct mmsghdr *)call->argument[1];
  uint64_t count = (uint64_t)(unsigned)call->argument[2];
  int flags = (int)call->argument[3];
  struct timespec *timeout = (struct timespec *)call->argument[4];
  struct timespec until = {call->argument[5], (long)call->part};
  long result;
  for (;;) {
    struct timespec left;
    if (timeout)
      left = ups_time_left(CLOCK_MONOTONIC, until);
    result = ups_transfer(call, POLLIN, SYS_recvmmsg, (long)(messages + call->progress), (long)(count - call->progress),
                          flags, (long)(timeout ? &left : NULL), 0);
    if (result < 0) {
      if (result == UPS_CP_UNROLLED || !call->progress)
        break;
      if (result == -ERESTARTSYS || (result == -EINTR && call->seen_any == ups_handlers_run.any))
        continue; /* what ended the issue before, kept in the socket by the kernel for the next one: our signal */
      result = (long)call->progress;
      break;
    }
    call->progress += (uint64_t)result;
    result = (long)call->progress;
    if (call->place != UPS_PLACE_DONE || call->progress >= count || (flags & (MSG_WAITFORONE | MSG_DONTWAIT)))
      break;
    if (timeout) {
      left = ups_time_left(CLOCK_MONOTONIC, until);
      if (!left.tv_sec && !left.tv_nsec)
        break;
    }
    long status = ups_call_cut(call);
    if (status == UPS_CP_UNROLLED)
      result = status;
    if (status)
      break;
  }
  if (timeout && result > 0)
    *timeout = ups_time_left(CLOCK_MONOTONIC, until);
  return ups_call_return(result);
}

const struct ups_operation ups_op_recvmmsg = {"recvmmsg", run_recvmmsg, UPS_OP_RECVMMSG, 6, true};

UPS_SLOW ssize_t read_on(int fd, void *buffer, size_t size, const struct ups_quick *quick, long result) {
  if (ups_quick_settle(result) != UPS_CP_STOPPED)
    return ups_call_return(result);
  struct ups_call call;
  ups_transfer_begin(&call, &ups_op_read, fd);
  call.argument[1] = (long)buffer;
  call.argument[2] = (long)size;
  return ups_quick_run(&call, quick);
}

ssize_t upstare_read(int fd, void *buffer, size_t size) {
  struct ups_quick quick;
  if (__builtin_expect(!ups_quick_possible(), 0))
    return read_on(fd, buffer, size, NULL, UPS_CP_STOPPED);
  long fd_argument = ups_quick_int(fd);
  long result = ups_quick_issue(&quick, SYS_read, fd_argument, (long)buffer, (long)size, 0, 0, 0);
  return ups_quick_done(result) ? result : read_on((int)fd_argument, buffer, size, &quick, result);
}

UPS_SLOW ssize_t readv_on(int fd, const struct iovec *vector, int count, const struct ups_quick *quick, long result) {
  if (ups_quick_settle(result) != UPS_CP_STOPPED)
    return ups_call_return(result);
  struct ups_call call;
  ups_transfer_begin(&call, &ups_op_readv, fd);
  call.argument[1] = (long)vector;
  call.argument[2] = count;
  return ups_quick_run(&call, quick);
}

ssize_t upstare_readv(int fd, const struct iovec *vector, int count) {
  struct ups_quick quick;
  if (__builtin_expect(!ups_quick_possible(), 0))
    return readv_on(fd, vector, count, NULL, UPS_CP_STOPPED);
  long fd_argument = ups_quick_int(fd);
  long count_argument = ups_quick_int(count);
  long result = ups_quick_issue(&quick, SYS_readv, fd_argument, (long)vector, count_argument, 0, 0, 0);
  return ups_quick_done(result) ? result : readv_on((int)fd_argument, vector, (int)count_argument, &quick, result);
}

UPS_SLOW ssize_t recvfrom_on(int fd, void *restrict buffer, size_t size, int flags, __SOCKADDR_ARG address,
                             socklen_t *restrict length, const struct ups_quick *quick, long result) {
  if (ups_quick_settle(result) != UPS_CP_STOPPED)
    return ups_call_return(result);
  struct ups_call call;
  ups_transfer_begin(&call, &ups_op_recvfrom, fd);
  call.argument[1] = (long)buffer;
  call.argument[2] = (long)size;
  call.argument[3] = flags;
  call.argument[4] = (long)address.__sockaddr__;
  call.argument[5] = (long)length;
  return ups_quick_run(&call, quick);
}

ssize_t upstare_recvfrom(int fd, void *restrict buffer, size_t size, int flags, __SOCKADDR_ARG address,
                         socklen_t *restrict length) {
  struct ups_quick quick;
  if (__builtin_expect(!(ups_quick_possible() && !waits_for_all(flags)), 0))
    return recvfrom_on(fd, buffer, size, flags, address, length, NULL, UPS_CP_STOPPED);
  long fd_argument = ups_quick_int(fd);
  long flags_argument = ups_quick_int(flags);
  long result = ups_quick_issue(&quick, SYS_recvfrom, fd_argument, (long)buffer, (long)size, flags_argument,
                                (long)address.__sockaddr__, (long)length);
  if (ups_quick_done(result))
    return result;
  return recvfrom_on((int)fd_argument, buffer, size, (int)flags_argument, address, length, &quick, result);
}

ssize_t upstare_recv(int fd, void *buffer, size_t size, int flags) {
  return upstare_recvfrom(fd, buffer, size, flags, (struct sockaddr *)NULL, NULL);
}

UPS_SLOW ssize_t recvmsg_on(int fd, struct msghdr *message, int flags, const struct ups_quick *quick, long result) {
  if (ups_quick_settle(result) != UPS_CP_STOPPED)
    return ups_call_return(result);
  struct ups_call call;
  ups_transfer_begin(&call, &ups_op_recvmsg, fd);
  call.argument[1] = (long)message;
  call.argument[2] = flags;
  return ups_quick_run(&call, quick);
}

ssize_t upstare_recvmsg(int fd, struct msghdr *message, int flags) {
  struct ups_quick quick;
  if (__builtin_expect(!(ups_quick_possible() && !waits_for_all(flags)), 0))
    return recvmsg_on(fd, message, flags, NULL, UPS_CP_STOPPED);
  long fd_argument = ups_quick_int(fd);
  long flags_argument = ups_quick_int(flags);
  long result = ups_quick_issue(&quick, SYS_recvmsg, fd_argument, (long)message, flags_argument, 0, 0, 0);
  return ups_quick_done(result) ? result : recvmsg_on((int)fd_argument, message, (int)flags_argument, &quick, result);
}

int upstare_recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout) {
  struct ups_call call;
  ups_transfer_begin(&call, &ups_op_recvmmsg, fd);
  if (timeout && (timeout->tv_sec < 0 || !ups_time_valid(timeout)))
    return (int)ups_call_return(-EINVAL);
  call.argument[1] = (long)messages;
  call.argument[2] = count;
  call.argument[3] = flags;
  call.argument[4] = (long)timeout;
  call.argument[5] = 0;
  if (timeout) {
    struct timespec until = ups_time_after(CLOCK_MONOTONIC, *timeout);
    call.argument[5] = until.tv_sec;
    call.part = (uint64_t)until.tv_nsec;
  }
  return (int)ups_call_run(&call);
}
