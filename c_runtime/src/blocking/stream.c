/*
 * The wait of a stream for input.
 *
 * For a stream on a descriptor with nothing special about it, the read that glibc's underflow would make is made in the
 * region, into the stream's buffer, and the stream's public fields are set as glibc sets them (_IO_new_file_underflow).
 * For any other, readiness is waited for and glibc does the rest.
 */
#include "stream.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/single_threaded.h>
#include <unistd.h>
#include <wchar.h>

#include "transfer.h"

/* Bits of ups_call.state, for the calls on streams. */
enum { LOCKED = 1, FILLING = 2 };

extern int __underflow(FILE *);      /* glibc: makes the buffer non-empty, EOF if it cannot */
extern void _IO_doallocbuf(FILE *);  /* glibc: gives the stream a buffer */
extern const char _IO_file_jumps[] __attribute__((weak)); /* glibc: the functions of an ordinary stream */

/* glibc's lock of a stream; FILE._lock points to it. */
struct stream_lock {
  int word, count;
  void *owner;
};

static int try_lock(void *stream) { return ftrylockfile(stream) ? EBUSY : 0; }

long ups_stream_lock(struct ups_call *call, FILE *stream, bool unlocked) {
  if ((call->state & LOCKED) || unlocked || __libc_single_threaded || (stream->_flags & UPS_STREAM_USER_LOCK))
    return 0;
  call->interruption = UPS_INSENSITIVE;
  long result = ups_word_lock(call, &((struct stream_lock *)stream->_lock)->word, false, try_lock, stream);
  if (result == UPS_CP_UNROLLED)
    return result;
  call->state |= LOCKED;
  return 0;
}

void ups_stream_unlock(struct ups_call *call, FILE *stream) {
  if (call->state & LOCKED)
    funlockfile(stream);
}

/* A new wait; not when one is resumed. */
static void begin_wait(struct ups_call *call, FILE *stream) {
  if (call->state & FILLING)
    return;
  call->state |= FILLING;
  call->interruption = UPS_RESTARTS;
  call->place = UPS_PLACE_ELSEWHERE;
  call->timed = 0;
  call->seen_interrupting = ups_handlers_run.interrupting;
  call->argument[0] = fileno_unlocked(stream);
  clock_gettime(CLOCK_MONOTONIC_COARSE, &call->until);
}

struct input {
  struct ups_call *call;
  FILE *stream;
  char *to; /* null: only waited for */
  size_t size;
};

static void on_cancel(void *argument) {
  struct input *input = argument;
  ups_stream_unlock(input->call, input->stream);
}

static long await_input(void *argument) {
  const struct input *input = argument;
  struct ups_call *call = input->call;
  if (input->to)
    return ups_transfer(call, POLLIN, SYS_read, (long)input->to, (long)input->size, 0, 0, 0);
  struct pollfd descriptor = {.fd = fileno_unlocked(input->stream), .events = POLLIN};
  for (;;) {
    long result = ups_call_issue(call, SYS_poll, (long)&descriptor, 1, -1, 0, 0, 0);
    /* A read would have been restarted after a handler with SA_RESTART. */
    bool restart = result == -EINTR && call->seen_interrupting == ups_handlers_run.interrupting;
    if (result != UPS_CP_STOPPED && !restart)
      return result;
  }
}

/* Reads into `to`, or (null) waits for readiness; a cancellation point that gives up the stream's lock. Until the program
 * first uses cancellation it is not, and that first use is a stop, after which this is called again. */
static long await(struct ups_call *call, FILE *stream, char *to, size_t size) {
  struct input input = {call, stream, to, size};
  const struct ups_cancellable *cancel = ups_cancel;
  begin_wait(call, stream);
  long result = cancel ? cancel->around(PTHREAD_CANCEL_ASYNCHRONOUS, await_input, on_cancel, &input)
                       : await_input(&input);
  if (result != UPS_CP_UNROLLED)
    call->state &= (uint16_t)~FILLING;
  return result;
}

/* Is it one whose reads we can make? */
static bool is_ordinary(const FILE *stream) {
  const void *functions;
  memcpy(&functions, (const char *)stream + sizeof *stream, sizeof functions); /* of struct _IO_FILE_plus */
  return _IO_file_jumps && functions == (const void *)_IO_file_jumps && stream->_fileno >= 0 && stream->_mode <= 0 &&
         !(stream->_flags & (UPS_STREAM_NO_READS | UPS_STREAM_PUTTING | UPS_STREAM_IN_BACKUP)) && !stream->_markers &&
         !stream->_IO_save_base;
}

static void empty_buffer(FILE *stream) {
  char *base = stream->_IO_buf_base;
  stream->_IO_read_base = stream->_IO_read_ptr = stream->_IO_read_end = base;
  stream->_IO_write_base = stream->_IO_write_ptr = stream->_IO_write_end = base;
}

/* The outcome of a read of ours; true: there is something. */
static bool account(FILE *stream, long result) {
  if (result > 0) {
    if (stream->_offset != -1)
      stream->_offset += result;
    return true;
  }
  if (result < 0)
    errno = (int)-result;
  stream->_flags |= result ? UPS_STREAM_ERROR : UPS_STREAM_EOF;
  return false;
}

/* Who reads from a terminal sees what was written to one. */
static void flush_terminal(const FILE *stream) {
  const int wanted = UPS_STREAM_LINKED | UPS_STREAM_LINE_BUFFERED;
  if ((stream->_flags & (UPS_STREAM_LINE_BUFFERED | UPS_STREAM_UNBUFFERED)) && (stdout->_flags & wanted) == wanted &&
      stdout->_IO_write_ptr > stdout->_IO_write_base)
    fflush(stdout);
}

/* A stream that glibc has to read: when it would not have to wait. */
static long fill_foreign(struct ups_call *call, FILE *stream) {
  int error = errno, fd = fileno_unlocked(stream);
  int flags = fd >= 0 ? fcntl(fd, F_GETFL) : -1;
  errno = error;
  if (flags >= 0 && !(flags & O_NONBLOCK) && !(stream->_flags & (UPS_STREAM_NO_READS | UPS_STREAM_EOF))) {
    if ((stream->_flags & UPS_STREAM_PUTTING) && fflush_unlocked(stream))
      return 0;
    flush_terminal(stream);
    long result = await(call, stream, NULL, 0);
    if (result == UPS_CP_UNROLLED)
      return result;
    if (result == -EINTR) {
      account(stream, result);
      return 0;
    }
  }
  return __underflow(stream) != EOF;
}

long ups_stream_fill(struct ups_call *call, FILE *stream) {
  if (ups_stream_ready(stream))
    return 1;
  if (!is_ordinary(stream))
    return fill_foreign(call, stream);
  if (stream->_flags & UPS_STREAM_EOF) /* it stays at the end */
    return 0;
  if (stream->_mode == 0)
    fwide(stream, -1);
  if (!stream->_IO_buf_base)
    _IO_doallocbuf(stream);
  flush_terminal(stream);
  empty_buffer(stream);
  long result = await(call, stream, stream->_IO_buf_base, (size_t)(stream->_IO_buf_end - stream->_IO_buf_base));
  if (result == UPS_CP_UNROLLED)
    return result;
  if (!account(stream, result)) {
    stream->_offset = -1;
    return 0;
  }
  stream->_IO_read_end = stream->_IO_buf_base + result;
  return 1;
}

long ups_stream_read(struct ups_call *call, FILE *stream, char *to, size_t size) {
  if (!is_ordinary(stream) || !stream->_IO_buf_base)
    return -1;
  size_t block = (size_t)(stream->_IO_buf_end - stream->_IO_buf_base);
  if (size < block)
    return -1;
  empty_buffer(stream);
  long result = await(call, stream, to, block >= 128 ? size - size % block : size);
  if (result == UPS_CP_UNROLLED)
    return result;
  return account(stream, result) ? result : 0;
}
