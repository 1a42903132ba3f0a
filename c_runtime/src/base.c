/*
 * Where every thread of the program starts: under a base of ours, to which an unrolled stack returns.
 *
 * The linker hands us the call of __libc_start_main (--wrap). Main's thread is registered just before the program's
 * main; whatever constructors did before that was not updateable.
 */
#define _GNU_SOURCE
#include "runtime.h"

typedef int main_function(int, char **, char **);

extern const char __start_upstare_rt[] __attribute__((weak, visibility("hidden")));
extern const char __stop_upstare_rt[] __attribute__((weak, visibility("hidden")));

_Static_assert(offsetof(struct ups_thread, unrolling) == 0, "arch/x86_64/stack.S");
_Static_assert(offsetof(struct ups_thread, scratch_high) == 8, "arch/x86_64/stack.S");
_Static_assert(offsetof(struct ups_thread, base_sp) == 16, "arch/x86_64/stack.S");

_Thread_local struct ups_thread *ups_self __attribute__((tls_model("local-exec")));

static main_function *program_main;

bool ups_in_runtime(uintptr_t address) {
  return (address >= (uintptr_t)__start_upstare_rt && address < (uintptr_t)__stop_upstare_rt) || ups_in_update(address);
}

const char *ups_preloaded;

/* Failure here means that this process cannot be updated; it runs all the same. */
static void start_runtime(void) {
  if (ups_threads_init() != 0) return;
  if (ups_wake_init() != 0) return;
  ups_preloaded = getenv("LD_PRELOAD");
  const char *storm = getenv("UPSTARE_STORM");
  if (storm != NULL && ups_wake()) ups_storm_start(storm);
}

static int runtime_main(int argc, char **argv, char **environment) {
  int error = errno;
  start_runtime();
  errno = error;
  if (ups_self == NULL) return program_main(argc, argv, environment);
  ups_thread_runs(ups_self);
  return (int)ups_base_call(ups_self, (void *)(uintptr_t)program_main, (uintptr_t)argc, (uintptr_t)argv,
                            (uintptr_t)environment);
}

int __real___libc_start_main(main_function *, int, char **, void (*)(void), void (*)(void), void (*)(void), void *);
int __wrap___libc_start_main(main_function *, int, char **, void (*)(void), void (*)(void), void (*)(void), void *);

int __wrap___libc_start_main(main_function *main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                             void (*end)(void), void *stack) {
  program_main = main;
  return __real___libc_start_main(runtime_main, argc, argv, init, fini, end, stack);
}
