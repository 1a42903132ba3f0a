/*
 * Descriptors that move data: what becomes of a wait that a stop cut off.
 *
 * Nothing was moved: the call is issued again. If the socket has a timeout of its own (the kernel then answers EINTR
 * instead of restarting), the time that has passed counts: the wait for readiness is ours until that time is over.
 *
 * Something was moved: without the stop the kernel would have waited for more (a write on a stream, MSG_WAITALL). The
 * caller goes on with the rest.
 */
#include "transfer.h"

#include "../runtime.h"

#include <sys/stat.h>

void ups_transfer_begin(struct ups_call *call, const struct ups_operation *operation, int fd) {
  ups_call_begin(call, operation, UPS_RESTARTS);
  clock_gettime(CLOCK_MONOTONIC_COARSE, &call->until); /* a few ns; the exact clock would be felt */
  call->argument[0] = fd;
}

/* The call was found waiting in the kernel, and not restarted: gives it the socket's timeout, if that is why. */
static void keep_timeout(struct ups_call *call, short event) {
  struct timeval timeout;
  socklen_t size = sizeof timeout;
  int error = errno;
  int option = event == POLLIN ? SO_RCVTIMEO : SO_SNDTIMEO;
  if (!getsockopt((int)call->argument[0], SOL_SOCKET, option, &timeout, &size) && (timeout.tv_sec || timeout.tv_usec)) {
    struct timespec length = {timeout.tv_sec, timeout.tv_usec * 1000}, resolution;
    clock_getres(CLOCK_MONOTONIC_COARSE, &resolution);
    resolution = ups_time_add(resolution, resolution); /* a tick may come late, the answer must not come early */
    call->until = ups_time_add(ups_time_add(call->until, length), resolution);
    call->clock = CLOCK_MONOTONIC;
    call->interruption = UPS_INTERRUPTS;
    call->timed = 1;
  }
  errno = error;
}

/* Waits until the descriptor is ready or the socket's timeout is over: 1, 0, -EINTR or UPS_CP_UNROLLED. */
static long await_ready(struct ups_call *call, short event) {
  for (;;) {
    struct pollfd descriptor = {.fd = (int)call->argument[0], .events = event};
    struct timespec left = ups_time_left(call->clock, call->until);
    long result = ups_call_issue(call, SYS_ppoll, (long)&descriptor, 1, (long)&left, 0, 0, 0);
    if (result != UPS_CP_STOPPED)
      return result;
  }
}

/* The call was left once, or is waiting for readiness: 1 to issue it now, or as above. */
static UPS_ASLEEP long keep_time(struct ups_call *call, short event) {
  if (call->place == UPS_PLACE_INTERRUPTED && !call->timed) {
    keep_timeout(call, event);
    if (call->timed && call->seen_any != ups_handlers_run.any)
      return -EINTR; /* not only by us, then; and with a timeout even SA_RESTART does not restart */
  }
  return call->timed ? await_ready(call, event) : 1;
}

long ups_transfer(struct ups_call *call, short event, long number, long b, long c, long d, long e, long f) {
  for (;;) {
    if (ups_awake() && (call->place == UPS_PLACE_INTERRUPTED || call->timed)) {
      long ready = keep_time(call, event);
      if (ready == 0)
        return number == SYS_connect ? -EINPROGRESS : -EAGAIN;
      if (ready < 0)
        return ready;
    }
    long result = ups_call_issue(call, number, call->argument[0], b, c, d, e, f);
    if (result != UPS_CP_STOPPED)
      return result;
  }
}

static bool was_cut(const struct ups_call *call, uint64_t done, uint64_t wanted) {
  if (__builtin_expect(call->place != UPS_PLACE_DONE, 1) || done >= wanted)
    return false;
  struct stat status;
  int error = errno;
  bool flows = !fstat((int)call->argument[0], &status) &&
               (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode) ||
                (S_ISSOCK(status.st_mode) && ups_transfer_stream((int)call->argument[0])));
  errno = error;
  return flows;
}

bool ups_transfer_goes_on(struct ups_call *call, long *result, uint64_t issued, uint64_t wanted) {
  if (*result < 0) {
    if (*result != UPS_CP_UNROLLED && call->progress)
      *result = (long)call->progress; /* the error, if it lasts, is for the next call */
    return false;
  }
  uint64_t moved = (uint64_t)*result;
  call->progress += moved;
  *result = (long)call->progress;
  if (moved == issued && call->progress < wanted)
    return true;
  if (!moved || !was_cut(call, call->progress, wanted))
    return false;
  long status = ups_call_cut(call);
  if (status == UPS_CP_UNROLLED)
    *result = status;
  return status == 0;
}

bool ups_transfer_stream(int fd) {
  int type = 0, error = errno;
  socklen_t size = sizeof type;
  bool stream = !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) && type == SOCK_STREAM;
  errno = error;
  return stream;
}

uint64_t ups_vector_size(const struct iovec *vector, size_t count) {
  uint64_t size = 0;
  for (size_t i = 0; i < count; i++)
    if (__builtin_add_overflow(size, vector[i].iov_len, &size))
      return UINT64_MAX;
  return size;
}

const struct iovec *ups_vector_rest(const struct iovec *vector, size_t *count, uint64_t progress, struct iovec *first) {
  while (*count && progress >= vector->iov_len) {
    progress -= vector->iov_len;
    vector++;
    --*count;
  }
  if (!progress)
    return vector;
  first->iov_base = (char *)vector->iov_base + progress;
  first->iov_len = vector->iov_len - progress;
  *count = 1;
  return first;
}
