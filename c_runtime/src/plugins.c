/*
 * dlopen, dlsym and dlvsym for the program. What they do depends on the object that calls them: where its path looks
 * for libraries, which object is the next one. That is the executable, whichever version runs.
 *
 * A shared library that is versioned with the program is a part of it: to open it is to open the program.
 */
#include <dlfcn.h>
#include <string.h>

#include "runtime.h"

/* What the libraries that the link has taken in are called; 0 ends the list. There is none if it took none in. */
extern const char *const upstare_libraries[] __attribute__((weak, visibility("hidden")));

UPS_PUBLIC __typeof__(dlopen) upstare_dlopen;
UPS_PUBLIC __typeof__(dlsym) upstare_dlsym;
UPS_PUBLIC __typeof__(dlvsym) upstare_dlvsym;

static bool is_part(const char *path) {
  if (path == NULL || upstare_libraries == NULL) return false;
  const char *slash = strrchr(path, '/');
  const char *name = slash != NULL ? slash + 1 : path;
  for (const char *const *library = upstare_libraries; *library != NULL; library++)
    if (strcmp(*library, name) == 0) return true;
  return false;
}

/* The call before it is not a jump: the C library would take whoever called us for its caller. */
static inline void *returned(void *result) {
  __asm__ volatile("" : "+r"(result));
  return result;
}

void *upstare_dlopen(const char *path, int mode) { return returned(dlopen(is_part(path) ? NULL : path, mode)); }

void *upstare_dlsym(void *handle, const char *name) { return returned(dlsym(handle, name)); }

void *upstare_dlvsym(void *handle, const char *name, const char *version) {
  return returned(dlvsym(handle, name, version));
}
