/*
 * fgets, fgetc and its kin, fread, getline, getdelim.
 *
 * What is in the stream's buffer is consumed as glibc does; only the wait for more is ours (stream.c). The frame of such
 * a call holds how far it has come (`progress`, in the caller's memory), and the stream stays locked.
 */
#include <stdlib.h>
#include <sys/single_threaded.h>

#include "stream.h"

#undef getc
#undef getchar
#undef getc_unlocked
#undef getchar_unlocked
#undef fgetc_unlocked
#undef fread_unlocked

UPS_EXPORT __typeof__(fgets) upstare_fgets;
UPS_EXPORT __typeof__(fgets_unlocked) upstare_fgets_unlocked;
UPS_EXPORT __typeof__(fgetc) upstare_fgetc;
UPS_EXPORT __typeof__(getc) upstare_getc;
UPS_EXPORT __typeof__(getchar) upstare_getchar;
UPS_EXPORT __typeof__(fgetc_unlocked) upstare_fgetc_unlocked;
UPS_EXPORT __typeof__(getc_unlocked) upstare_getc_unlocked;
UPS_EXPORT __typeof__(getchar_unlocked) upstare_getchar_unlocked;
UPS_EXPORT __typeof__(fread) upstare_fread;
UPS_EXPORT __typeof__(fread_unlocked) upstare_fread_unlocked;
UPS_EXPORT __typeof__(getline) upstare_getline;
UPS_EXPORT __typeof__(getdelim) upstare_getdelim;

/* argument[0] is the descriptor, for the transfer. */
enum { STREAM = 1, UNLOCKED = 2, BUFFER = 3, SIZE = 4, DELIMITER = 5 };

static FILE *stream_of(const struct ups_call *call) { return (FILE *)call->argument[STREAM]; }

static void begin(struct ups_call *call, const struct ups_operation *operation, FILE *stream, bool unlocked) {
  ups_call_begin(call, operation, UPS_RESTARTS);
  call->argument[0] = -1;
  call->argument[STREAM] = (long)stream;
  call->argument[UNLOCKED] = unlocked;
}

/* ---- What needs no wait ---------------------------------------------------------------------------------------------- */

/* Nearly all calls find what they want in the buffer: they are answered from there, if nothing wants the thread at a
 * point and the stream's lock is to be had. True: the caller may use the buffer, then calls let_go. */
static inline bool get_hold(FILE *stream, bool unlocked, bool *locked) {
  if (!ups_stream_ready(stream) || !ups_call_is_quiet())
    return false;
  *locked = !unlocked && !__libc_single_threaded && !(stream->_flags & UPS_STREAM_USER_LOCK);
  return !*locked || !ftrylockfile(stream);
}

static inline void let_go(FILE *stream, bool locked) {
  if (locked)
    funlockfile(stream);
}

/* A whole line in the buffer, of at most `limit` bytes; 0: there is none. */
static inline size_t whole_line(const FILE *stream, size_t limit, int delimiter) {
  size_t ready = ups_stream_ready(stream);
  const char *end = memchr(stream->_IO_read_ptr, delimiter, ready < limit ? ready : limit);
  return end ? (size_t)(end - stream->_IO_read_ptr) + 1 : 0;
}

/* Takes a whole line that is in the buffer, of at most `limit` bytes: its length, and a zero behind it. 0: there is none,
 * or it cannot be had at once. */
static __attribute__((noinline)) size_t take_line(FILE *stream, bool unlocked, char *to, size_t limit, int delimiter) {
  bool locked;
  if (!get_hold(stream, unlocked, &locked))
    return 0;
  size_t length = whole_line(stream, limit, delimiter);
  if (length) {
    memcpy(to, stream->_IO_read_ptr, length);
    to[length] = 0;
    stream->_IO_read_ptr += length;
  }
  let_go(stream, locked);
  return length;
}

/* Takes what is ready, up to `limit` bytes and through the first `delimiter`; sets *end when that was among them. */
static UPS_COLD size_t take(FILE *stream, char *to, size_t limit, int delimiter, bool *end) {
  size_t size = ups_stream_ready(stream);
  if (size > limit)
    size = limit;
  const char *found = memchr(stream->_IO_read_ptr, delimiter, size);
  if (found)
    size = (size_t)(found - stream->_IO_read_ptr) + 1;
  *end = found != NULL;
  memcpy(to, stream->_IO_read_ptr, size);
  stream->_IO_read_ptr += size;
  return size;
}

/* ---- fgets ----------------------------------------------------------------------------------------------------------- */

/* `part`: the error bit of before, with FRESH until it was taken. */
enum { FRESH = 1 };

static UPS_COLD long run_fgets(struct ups_call *call) {
  FILE *stream = stream_of(call);
  char *buffer = (char *)call->argument[BUFFER];
  size_t room = (size_t)call->argument[SIZE] - 1;
  if (ups_stream_lock(call, stream, call->argument[UNLOCKED]))
    return 0;
  if (call->part == FRESH) {
    call->part = (uint64_t)(stream->_flags & UPS_STREAM_ERROR);
    stream->_flags &= ~UPS_STREAM_ERROR;
  }
  bool end = false;
  while (!end && call->progress < room) {
    long filled = ups_stream_fill(call, stream);
    if (filled == UPS_CP_UNROLLED)
      return 0;
    if (!filled)
      break;
    call->progress += take(stream, buffer + call->progress, room - call->progress, '\n', &end);
  }
  if (!call->progress || ((stream->_flags & UPS_STREAM_ERROR) && errno != EAGAIN))
    buffer = NULL;
  else
    buffer[call->progress] = 0;
  stream->_flags |= (int)call->part;
  ups_stream_unlock(call, stream);
  return (long)buffer;
}

const struct ups_operation ups_op_fgets = {"fgets", run_fgets, UPS_OP_FGETS, 5, false};

static char *gets_from(char *buffer, int size, FILE *stream, bool unlocked) {
  struct ups_call call;
  if (size <= 0)
    return NULL;
  if (size == 1) {
    *buffer = 0;
    return buffer;
  }
  if (take_line(stream, unlocked, buffer, (size_t)size - 1, '\n'))
    return buffer;
  begin(&call, &ups_op_fgets, stream, unlocked);
  call.argument[BUFFER] = (long)buffer;
  call.argument[SIZE] = size;
  call.part = FRESH;
  return (char *)ups_call_run(&call);
}

char *upstare_fgets(char *restrict buffer, int size, FILE *restrict stream) {
  return gets_from(buffer, size, stream, false);
}

char *upstare_fgets_unlocked(char *restrict buffer, int size, FILE *restrict stream) {
  return gets_from(buffer, size, stream, true);
}

/* ---- fgetc ----------------------------------------------------------------------------------------------------------- */

static UPS_COLD long run_fgetc(struct ups_call *call) {
  FILE *stream = stream_of(call);
  if (ups_stream_lock(call, stream, call->argument[UNLOCKED]))
    return 0;
  long filled = ups_stream_fill(call, stream);
  if (filled == UPS_CP_UNROLLED)
    return 0;
  int character = filled ? *(unsigned char *)stream->_IO_read_ptr++ : EOF;
  ups_stream_unlock(call, stream);
  return character;
}

const struct ups_operation ups_op_fgetc = {"getc", run_fgetc, UPS_OP_FGETC, 3, false};

static UPS_COLD int get_elsewhere(FILE *stream, bool unlocked) {
  struct ups_call call;
  bool locked;
  if (get_hold(stream, unlocked, &locked)) {
    int character = ups_stream_ready(stream) ? *(unsigned char *)stream->_IO_read_ptr++ : EOF;
    let_go(stream, locked);
    if (character != EOF)
      return character;
  }
  begin(&call, &ups_op_fgetc, stream, unlocked);
  return (int)ups_call_run(&call);
}

static inline int get_from(FILE *stream, bool unlocked) {
  if (__builtin_expect((unlocked || __libc_single_threaded) && ups_stream_ready(stream), 1))
    return *(unsigned char *)stream->_IO_read_ptr++; /* programs read whole files with this */
  return get_elsewhere(stream, unlocked);
}

int upstare_fgetc(FILE *stream) { return get_from(stream, false); }

int upstare_getc(FILE *stream) { return get_from(stream, false); }

int upstare_getchar(void) { return get_from(stdin, false); }

int upstare_fgetc_unlocked(FILE *stream) { return get_from(stream, true); }

int upstare_getc_unlocked(FILE *stream) { return get_from(stream, true); }

int upstare_getchar_unlocked(void) { return get_from(stdin, true); }

/* ---- fread ----------------------------------------------------------------------------------------------------------- */

static UPS_COLD long run_fread(struct ups_call *call) {
  FILE *stream = stream_of(call);
  char *buffer = (char *)call->argument[BUFFER];
  size_t size = (size_t)call->argument[SIZE], wanted;
  if (__builtin_mul_overflow(size, (size_t)call->argument[DELIMITER], &wanted))
    wanted = size * (size_t)call->argument[DELIMITER]; /* as libc would have it */
  if (ups_stream_lock(call, stream, call->argument[UNLOCKED]))
    return 0;
  while (call->progress < wanted) {
    size_t ready = ups_stream_ready(stream), rest = wanted - call->progress;
    if (ready) {
      if (ready > rest)
        ready = rest;
      memcpy(buffer + call->progress, stream->_IO_read_ptr, ready);
      stream->_IO_read_ptr += ready;
      call->progress += ready;
      continue;
    }
    long result = ups_stream_read(call, stream, buffer + call->progress, rest);
    if (result > 0)
      call->progress += (uint64_t)result;
    else if (result == -1)
      result = ups_stream_fill(call, stream);
    if (result == UPS_CP_UNROLLED)
      return 0;
    if (!result)
      break;
  }
  ups_stream_unlock(call, stream);
  return (long)(call->progress == wanted ? (uint64_t)call->argument[DELIMITER] : call->progress / size);
}

const struct ups_operation ups_op_fread = {"fread", run_fread, UPS_OP_FREAD, 6, false};

static size_t read_from(void *buffer, size_t size, size_t count, FILE *stream, bool unlocked) {
  struct ups_call call;
  if (!size || !count)
    return 0;
  bool locked;
  size_t wanted;
  if (!__builtin_mul_overflow(size, count, &wanted) && get_hold(stream, unlocked, &locked)) {
    bool enough = ups_stream_ready(stream) >= wanted;
    if (enough) {
      memcpy(buffer, stream->_IO_read_ptr, wanted);
      stream->_IO_read_ptr += wanted;
    }
    let_go(stream, locked);
    if (enough)
      return count;
  }
  begin(&call, &ups_op_fread, stream, unlocked);
  call.argument[BUFFER] = (long)buffer;
  call.argument[SIZE] = (long)size;
  call.argument[DELIMITER] = (long)count;
  return (size_t)ups_call_run(&call);
}

size_t upstare_fread(void *restrict buffer, size_t size, size_t count, FILE *restrict stream) {
  return read_from(buffer, size, count, stream, false);
}

size_t upstare_fread_unlocked(void *restrict buffer, size_t size, size_t count, FILE *restrict stream) {
  return read_from(buffer, size, count, stream, true);
}

/* ---- getdelim -------------------------------------------------------------------------------------------------------- */

/* Makes room for `needed` bytes in the caller's line; false: errno says why not. */
static UPS_COLD bool grow(char **line, size_t *room, size_t needed) {
  if (needed <= *room)
    return true;
  if (needed < 2 * *room)
    needed = 2 * *room;
  char *larger = realloc(*line, needed);
  if (!larger)
    return false;
  *line = larger;
  *room = needed;
  return true;
}

/* -1, or `progress` when there was something. */
static UPS_COLD long run_getdelim(struct ups_call *call) {
  FILE *stream = stream_of(call);
  char **line = (char **)call->argument[BUFFER];
  size_t *room = (size_t *)call->argument[SIZE];
  int delimiter = (int)call->argument[DELIMITER];
  bool end = false;
  long result = -1;
  if (ups_stream_lock(call, stream, call->argument[UNLOCKED]))
    return 0;
  if (!*line || !*room) {
    *room = 120; /* glibc too forgets a line whose size is given as 0 */
    *line = malloc(*room);
    if (!*line)
      goto out;
  }
  while (!end) {
    long filled = ups_stream_fill(call, stream);
    if (filled == UPS_CP_UNROLLED)
      return 0;
    if (!filled)
      break;
    const char *next = stream->_IO_read_ptr;
    size_t size = ups_stream_ready(stream);
    const char *found = memchr(next, delimiter, size);
    if (found)
      size = (size_t)(found - next) + 1;
    if (size >= SSIZE_MAX - call->progress) {
      errno = EOVERFLOW;
      goto out;
    }
    if (!grow(line, room, call->progress + size + 1))
      goto out;
    call->progress += take(stream, *line + call->progress, size, delimiter, &end);
  }
  if (call->progress) {
    (*line)[call->progress] = 0;
    result = (long)call->progress;
  }
out:
  ups_stream_unlock(call, stream);
  return result;
}

const struct ups_operation ups_op_getdelim = {"getline", run_getdelim, UPS_OP_GETDELIM, 6, false};

ssize_t upstare_getdelim(char **restrict line, size_t *restrict room, int delimiter, FILE *restrict stream) {
  struct ups_call call;
  if (!line || !room) {
    errno = EINVAL;
    return -1;
  }
  size_t length = *line && *room ? take_line(stream, false, *line, *room - 1, delimiter) : 0;
  if (length)
    return (ssize_t)length;
  begin(&call, &ups_op_getdelim, stream, false);
  call.argument[BUFFER] = (long)line;
  call.argument[SIZE] = (long)room;
  call.argument[DELIMITER] = delimiter;
  return ups_call_run(&call);
}

ssize_t upstare_getline(char **restrict line, size_t *restrict room, FILE *restrict stream) {
  return upstare_getdelim(line, room, '\n', stream);
}
