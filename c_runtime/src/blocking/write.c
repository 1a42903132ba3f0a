/*
 * write, writev, send, sendto, sendmsg: what becomes of them once they are described. And sendmmsg.
 *
 * A blocking write on a stream returns when everything is written. One that a stop cut short goes on with the rest, so
 * the program sees one write. If the rest fails, what was written is the answer, and as with one write there is no
 * SIGPIPE then (on sockets; on pipes the kernel itself sends one).
 */
#include "transfer.h"

#include <unistd.h>

UPS_EXPORT __typeof__(sendmmsg) upstare_sendmmsg;

/* The rest of a write, as a send that raises no signal if `fd` is a socket. */
static long write_rest(struct ups_call *call, const struct iovec *vector, size_t count) {
  struct msghdr message = {.msg_iov = (struct iovec *)vector, .msg_iovlen = count};
  long result = ups_transfer(call, POLLOUT, SYS_sendmsg, (long)&message, MSG_NOSIGNAL, 0, 0, 0);
  if (result != -ENOTSOCK)
    return result;
  return ups_transfer(call, POLLOUT, SYS_writev, (long)vector, (long)count, 0, 0, 0);
}

static long run_write(struct ups_call *call) {
  char *buffer = (char *)call->argument[1];
  size_t size = (size_t)call->argument[2];
  for (;;) {
    struct iovec rest = {buffer + call->progress, size - call->progress};
    long result = call->progress ? write_rest(call, &rest, 1)
                                 : ups_transfer(call, POLLOUT, SYS_write, (long)buffer, (long)size, 0, 0, 0);
    if (!ups_transfer_goes_on(call, &result, rest.iov_len, size))
      return ups_call_return(result);
  }
}

uint64_t ups_write_wanted(const struct ups_call *call) { return (uint64_t)call->argument[2]; }

const struct ups_operation ups_op_write = {"write", run_write, UPS_OP_WRITE, 3, true};

static long run_writev(struct ups_call *call) {
  const struct iovec *vector = (const struct iovec *)call->argument[1];
  for (;;) {
    size_t count = (size_t)call->argument[2];
    struct iovec first;
    const struct iovec *now = vector;
    long result;
    if (call->progress) {
      now = ups_vector_rest(vector, &count, call->progress, &first);
      result = write_rest(call, now, count);
    } else {
      result = ups_transfer(call, POLLOUT, SYS_writev, (long)vector, (long)count, 0, 0, 0);
    }
    if (ups_transfer_plain(call, result) ||
        !ups_transfer_goes_on(call, &result, ups_vector_size(now, count),
                              ups_vector_size(vector, (size_t)call->argument[2])))
      return ups_call_return(result);
  }
}

uint64_t ups_writev_wanted(const struct ups_call *call) {
  return ups_vector_size((const struct iovec *)call->argument[1], (size_t)call->argument[2]);
}

const struct ups_operation ups_op_writev = {"writev", run_writev, UPS_OP_WRITEV, 3, true};

static long run_sendto(struct ups_call *call) {
  const long *argument = call->argument;
  uint64_t size = (uint64_t)argument[2];
  for (;;) {
    uint64_t rest = size - call->progress;
    long result = ups_transfer(call, POLLOUT, SYS_sendto, argument[1] + (long)call->progress, (long)rest,
                               argument[3] | (call->progress ? MSG_NOSIGNAL : 0), argument[4], argument[5]);
    if (!ups_transfer_goes_on(call, &result, rest, size))
      return ups_call_return(result);
  }
}

const struct ups_operation ups_op_sendto = {"send", run_sendto, UPS_OP_SENDTO, 6, true};

/* One message from `progress` bytes on; how much of it was issued goes to *issued. The control data went with the first
 * part. */
static long send_message(struct ups_call *call, const struct msghdr *message, int flags, uint64_t progress,
                         uint64_t *issued) {
  struct iovec first;
  struct msghdr rest = {.msg_iovlen = message->msg_iovlen};
  rest.msg_iov = (struct iovec *)ups_vector_rest(message->msg_iov, &rest.msg_iovlen, progress, &first);
  *issued = ups_vector_size(rest.msg_iov, rest.msg_iovlen);
  return ups_transfer(call, POLLOUT, SYS_sendmsg, (long)&rest, flags | MSG_NOSIGNAL, 0, 0, 0);
}

static long run_sendmsg(struct ups_call *call) {
  const struct msghdr *message = (const struct msghdr *)call->argument[1];
  int flags = (int)call->argument[2];
  for (;;) {
    uint64_t issued = 0; /* the first time all, which is not asked for */
    long result = call->progress ? send_message(call, message, flags, call->progress, &issued)
                                 : ups_transfer(call, POLLOUT, SYS_sendmsg, (long)message, flags, 0, 0, 0);
    if (ups_transfer_plain(call, result) ||
        !ups_transfer_goes_on(call, &result, issued, ups_vector_size(message->msg_iov, message->msg_iovlen)))
      return ups_call_return(result);
  }
}

uint64_t ups_sendmsg_wanted(const struct ups_call *call) {
  const struct msghdr *message = (const struct msghdr *)call->argument[1];
  return ups_vector_size(message->msg_iov, message->msg_iovlen);
}

const struct ups_operation ups_op_sendmsg = {"sendmsg", run_sendmsg, UPS_OP_SENDMSG, 3, true};

/*
 * `progress` counts messages that are sent to the last byte, `part` the bytes of the next one. The kernel too stops at a
 * message that it could send only in part; one that was cut short by us is completed on its own, then the others follow.
 */
static long run_sendmmsg(struct ups_call *call) {
  struct mmsghdr *messages = (struct mmsghdr *)call->argument[1];
  uint64_t count = (uint64_t)(unsigned)call->argument[2];
  int flags = (int)call->argument[3];
  for (;;) {
    struct mmsghdr *next = messages + call->progress;
    uint64_t issued = 0;
    bool inside = call->part > 0;
    long result = inside ? send_message(call, &next->msg_hdr, flags, call->part, &issued)
                         : ups_transfer(call, POLLOUT, SYS_sendmmsg, (long)next, (long)(count - call->progress), flags,
                                        0, 0);
    if (result <= 0) {
      uint64_t sent = call->progress + inside;
      return ups_call_return(result != UPS_CP_UNROLLED && sent ? (long)sent : result);
    }
    bool cut = call->place == UPS_PLACE_DONE;
    if (!inside && !cut)
      return (long)call->progress + result;
    if (inside) {
      call->part += (uint64_t)result;
      next->msg_len = (unsigned)call->part;
    } else {
      call->progress += (uint64_t)result - 1;
      next = messages + call->progress;
      call->part = next->msg_len;
    }
    if (call->part >= ups_vector_size(next->msg_hdr.msg_iov, next->msg_hdr.msg_iovlen)) {
      call->progress++;
      call->part = 0;
      if (call->progress == count)
        return (long)count;
    } else if ((uint64_t)result != issued && !(cut && ups_transfer_stream((int)call->argument[0]))) {
      return (long)call->progress + 1;
    }
    long status = cut ? ups_call_cut(call) : 0;
    if (status)
      return status == UPS_CP_UNROLLED ? 0 : (long)(call->progress + (call->part > 0));
  }
}

const struct ups_operation ups_op_sendmmsg = {"sendmmsg", run_sendmmsg, UPS_OP_SENDMMSG, 4, true};

int upstare_sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags) {
  struct ups_call call;
  ups_transfer_begin(&call, &ups_op_sendmmsg, fd);
  call.argument[1] = (long)messages;
  call.argument[2] = count;
  call.argument[3] = flags;
  return (int)ups_call_run(&call);
}
