/*
 * execve and its like. A program that is executed has the default action for every signal, and that of the reserved one
 * ends it: a coordinator that has seen our handler a moment ago may still send it, or has sent it. So the signal is
 * blocked from before the call. A new program of ours opens it once its handler is there (wake.c); in any other it stays
 * blocked, and at worst pending.
 */
#define _GNU_SOURCE
#include "blocking.h"
#include "runtime.h"

UPS_PUBLIC __typeof__(execve) upstare_execve;
UPS_PUBLIC __typeof__(execv) upstare_execv;
UPS_PUBLIC __typeof__(execvp) upstare_execvp;
UPS_PUBLIC __typeof__(execvpe) upstare_execvpe;
UPS_PUBLIC __typeof__(execveat) upstare_execveat;
UPS_PUBLIC __typeof__(fexecve) upstare_fexecve;
UPS_PUBLIC __typeof__(execl) upstare_execl;
UPS_PUBLIC __typeof__(execlp) upstare_execlp;
UPS_PUBLIC __typeof__(execle) upstare_execle;

/* Makes the call, which returns only to say that it cannot be done. */
#define WITH_MASK(call)             \
  do {                              \
    sigset_t mask;                  \
    ups_signals_before_exec(&mask); \
    int result = (call);            \
    ups_signals_restore(&mask);     \
    return result;                  \
  } while (0)

int upstare_execve(const char *path, char *const arguments[], char *const environment[]) {
  WITH_MASK(execve(path, arguments, environment));
}

int upstare_execv(const char *path, char *const arguments[]) { WITH_MASK(execv(path, arguments)); }

int upstare_execvp(const char *file, char *const arguments[]) { WITH_MASK(execvp(file, arguments)); }

int upstare_execvpe(const char *file, char *const arguments[], char *const environment[]) {
  WITH_MASK(execvpe(file, arguments, environment));
}

int upstare_execveat(int directory, const char *path, char *const arguments[], char *const environment[], int flags) {
  WITH_MASK(execveat(directory, path, arguments, environment, flags));
}

int upstare_fexecve(int file, char *const arguments[], char *const environment[]) {
  WITH_MASK(fexecve(file, arguments, environment));
}

/* ---- Arguments one by one, up to the null pointer ------------------------------------------------------------------------ */

static size_t count_from(const char *first, va_list *list) {
  size_t count = 0;
  for (const char *next = first; next != NULL; next = va_arg(*list, const char *)) count++;
  return count;
}

/* The list stands behind the null pointer afterwards. */
static void copy_from(const char *first, va_list *list, char **to) {
  const char *next = first;
  for (; next != NULL; next = va_arg(*list, const char *)) *to++ = (char *)next;
  *to = NULL;
}

#define COLLECT(first)                                \
  va_list list;                                       \
  va_start(list, first);                              \
  size_t count = count_from(first, &list);            \
  va_end(list);                                       \
  char *arguments[count + 1];                         \
  va_start(list, first);                              \
  copy_from(first, &list, arguments)

int upstare_execl(const char *path, const char *first, ...) {
  COLLECT(first);
  va_end(list);
  return upstare_execv(path, arguments);
}

int upstare_execlp(const char *file, const char *first, ...) {
  COLLECT(first);
  va_end(list);
  return upstare_execvp(file, arguments);
}

int upstare_execle(const char *path, const char *first, ...) {
  COLLECT(first);
  char *const *environment = va_arg(list, char *const *);
  va_end(list);
  return upstare_execve(path, arguments, environment);
}
