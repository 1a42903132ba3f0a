/*
 * Reading from glibc's streams without sleeping inside of glibc.
 */
#ifndef UPS_BLOCKING_STREAM_H
#define UPS_BLOCKING_STREAM_H

#include <stdio.h>

#include "call.h"

#pragma GCC visibility push(hidden)

/* Bits of FILE._flags (glibc, libio.h). */
enum {
  UPS_STREAM_UNBUFFERED = 0x2,
  UPS_STREAM_NO_READS = 0x4,
  UPS_STREAM_EOF = 0x10,
  UPS_STREAM_ERROR = 0x20,
  UPS_STREAM_LINKED = 0x80,
  UPS_STREAM_IN_BACKUP = 0x100,
  UPS_STREAM_LINE_BUFFERED = 0x200,
  UPS_STREAM_PUTTING = 0x800,
  UPS_STREAM_USER_LOCK = 0x8000,
};

/* Takes the stream's lock for the rest of the call, over updates too: 0 or UPS_CP_UNROLLED. Does nothing if the call
 * has it, or is one that does not lock (`unlocked`). */
long ups_stream_lock(struct ups_call *call, FILE *stream, bool unlocked);

void ups_stream_unlock(struct ups_call *call, FILE *stream);

/* Makes sure that the stream's buffer has something to read: 1; 0: end of file or an error (the stream's flags say
 * which; errno); or UPS_CP_UNROLLED. */
long ups_stream_fill(struct ups_call *call, FILE *stream);

/* Reads past the buffer, into `to`, where that is what glibc does: bytes (> 0), 0, or UPS_CP_UNROLLED, as above;
 * -1: does not apply, fill the buffer. */
long ups_stream_read(struct ups_call *call, FILE *stream, char *to, size_t size);

static inline size_t ups_stream_ready(const FILE *stream) {
  return stream->_IO_read_ptr < stream->_IO_read_end ? (size_t)(stream->_IO_read_end - stream->_IO_read_ptr) : 0;
}

#pragma GCC visibility pop

#endif
