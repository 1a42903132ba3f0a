/*
 * read, readv, recv, recvfrom, recvmsg: what becomes of them once they are described. And recvmmsg.
 */
#include "transfer.h"

#define ERESTARTSYS 512 /* of the kernel; meant to stay inside it */

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

uint64_t ups_recvfrom_wanted(const struct ups_call *call) {
  return waits_for_all((int)call->argument[3]) ? (uint64_t)call->argument[2] : 0;
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

uint64_t ups_recvmsg_wanted(const struct ups_call *call) {
  const struct msghdr *message = (const struct msghdr *)call->argument[1];
  return waits_for_all((int)call->argument[2]) ? ups_vector_size(message->msg_iov, message->msg_iovlen) : 0;
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
