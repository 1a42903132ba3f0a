/*
 * What only an update needs sleeps: the code in update/ is in a section of its own, which is mapped as data that are
 * only read, so that it takes no memory and nobody can run it. So is all that this program never calls, and what is
 * marked with UPS_ASLEEP. This is what stays awake for it: the handler of the reserved signal. The first signal of a
 * coordinator wakes the rest, for the life of the process and of those that it forks; so does a storm, at the start, and
 * what is done so seldom that it sleeps, too: the first cancellation of a thread, waiting for a robust mutex.
 *
 * Nothing that is awake may call anything that sleeps before ups_awake() is true. It becomes true before anything happens
 * that is looked for in these places, so asking it early enough is enough. What changes a word that an update looks at
 * asks afterwards.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "direct.h"
#include "runtime.h"

#define PAGE ((uintptr_t)4096)

/* Both are in one segment (driver/link.py): the code in update/, and the resume clones of the executable. */
extern const char __start_upstare_update[] __attribute__((weak, visibility("hidden")));
extern const char __stop_upstare_update[] __attribute__((weak, visibility("hidden")));
extern const char __start_upstare_resume[] __attribute__((weak, visibility("hidden")));
extern const char __stop_upstare_resume[] __attribute__((weak, visibility("hidden")));

_Atomic(uint32_t) ups_is_awake;

static __attribute__((noinline)) bool make_text(const char *low, const char *high) {
  uintptr_t begin = (uintptr_t)low & ~(PAGE - 1);
  return low == high || mprotect((void *)begin, (uintptr_t)high - begin, PROT_READ | PROT_EXEC) == 0;
}

static _Atomic(bool) waking; /* by one thread, all signals blocked, for a moment */

bool ups_wake(void) {
  sigset_t mask;
  if (ups_awake()) return true;
  ups_signals_block(&mask);
  while (atomic_exchange(&waking, true)) __builtin_ia32_pause();
  bool done = ups_awake();
  if (!done && make_text(__start_upstare_update, __stop_upstare_update) &&
      make_text(__start_upstare_resume, __stop_upstare_resume) && ups_woken()) {
    atomic_store(&ups_is_awake, 1);
    done = true;
  }
  atomic_store(&waking, false);
  ups_signals_restore(&mask);
  return done;
}

void ups_wake_child(void) { atomic_store(&waking, false); }

bool ups_in_update(uintptr_t address) {
  return address >= (uintptr_t)__start_upstare_update && address < (uintptr_t)__stop_upstare_update;
}

/* ---- The handler ----------------------------------------------------------------------------------------------------------- */

static const struct sigaction deaf = {.sa_handler = SIG_IGN};

static void on_attention(int signal, siginfo_t *info, void *context) {
  int error = errno;
  if (ups_wake())
    ups_attended(info, context);
  else if (ups_is_coordinators(info))
    sigaction(signal, &deaf, NULL); /* the coordinator sees it, and knows why */
  errno = error;
}

int ups_wake_init(void) {
  struct sigaction action = {.sa_sigaction = on_attention, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
  uint64_t open = 1ull << (SIGTRAP - 1) | 1ull << (UPS_SIGNAL - 1);
  ups_signals_all(&action.sa_mask); /* sigfillset would leave out those of the C library's own */
  if (sigaction(UPS_SIGNAL, &action, NULL) != 0) return -1;
  /* Whoever executed us may have had them blocked. */
  return (int)ups_direct(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&open, 0, sizeof open);
}
