/*
 * scanf, fscanf, vscanf, vfscanf: the first wait is ours, the rest is glibc's.
 *
 * Between its first byte and its last a scanf can wait in the library; an update then waits for it. All its arguments
 * are pointers, as many as the format says: they are taken out of the argument list at once, since that list goes with
 * the caller's frame.
 */
#include <ctype.h>
#include <stdarg.h>

#include "stream.h"

UPS_EXPORT __typeof__(scanf) upstare_scanf;
UPS_EXPORT __typeof__(fscanf) upstare_fscanf;
UPS_EXPORT __typeof__(vscanf) upstare_vscanf;
UPS_EXPORT __typeof__(vfscanf) upstare_vfscanf;

enum { STREAM = 1, FORMAT = 2 };

static unsigned long number(const unsigned char **at) {
  unsigned long value = 0;
  while (isdigit(**at))
    value = value * 10 + (unsigned long)(*(*at)++ - '0');
  return value;
}

/* How many arguments a format takes. */
static unsigned long count_arguments(const char *format) {
  unsigned long count = 0;
  const unsigned char *at = (const unsigned char *)format;
  while (*at) {
    if (*at++ != '%')
      continue;
    if (*at == '%') {
      at++;
      continue;
    }
    bool stored = true;
    unsigned long position = number(&at); /* or a width */
    if (*at == '$')
      at++;
    else
      position = 0;
    for (; *at && (isdigit(*at) || strchr("*'I", *at)); at++)
      if (*at == '*')
        stored = false;
    while (*at && strchr("hlLqjztm", *at))
      at++;
    if (*at == '[') {
      at += at[1] == '^' ? 2 : 1;
      if (*at == ']')
        at++;
      while (*at && *at != ']')
        at++;
    }
    if (!*at)
      break;
    at++;
    if (position > count)
      count = position;
    else if (!position && stored)
      count++;
  }
  return count;
}

static long run_scanf(struct ups_call *call) {
  FILE *stream = (FILE *)call->argument[STREAM];
  const char *format = (const char *)call->argument[FORMAT];
  void **p = call->pointer;
  if (ups_stream_lock(call, stream, false))
    return 0;
  long result = *format ? ups_stream_fill(call, stream) : 1;
  if (result == UPS_CP_UNROLLED)
    return 0;
  if (!result && (stream->_flags & UPS_STREAM_ERROR))
    result = EOF;
  else
    result = fscanf(stream, format, p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11], p[12],
                    p[13], p[14], p[15]);
  ups_stream_unlock(call, stream);
  return result;
}

const struct ups_operation ups_op_scanf = {"scanf", run_scanf, UPS_OP_SCANF, 3, false};

_Static_assert(UPS_SCANF_POINTERS == 16, "as many as are passed above");

int upstare_vfscanf(FILE *restrict stream, const char *restrict format, va_list arguments) {
  struct ups_call call;
  unsigned long count = count_arguments(format);
  if (count > UPS_SCANF_POINTERS)
    return vfscanf(stream, format, arguments);
  ups_call_begin(&call, &ups_op_scanf, UPS_RESTARTS);
  call.argument[0] = -1;
  call.argument[STREAM] = (long)stream;
  call.argument[FORMAT] = (long)format;
  for (unsigned long i = 0; i < UPS_SCANF_POINTERS; i++)
    call.pointer[i] = i < count ? va_arg(arguments, void *) : NULL;
  return (int)ups_call_run(&call);
}

int upstare_vscanf(const char *restrict format, va_list arguments) { return upstare_vfscanf(stdin, format, arguments); }

int upstare_fscanf(FILE *restrict stream, const char *restrict format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int result = upstare_vfscanf(stream, format, arguments);
  va_end(arguments);
  return result;
}

int upstare_scanf(const char *restrict format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int result = upstare_vfscanf(stdin, format, arguments);
  va_end(arguments);
  return result;
}
