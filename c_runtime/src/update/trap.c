/*
 * SIGTRAP. From the first update on the disposition is the runtime's; the program's own is kept and honoured for traps
 * that are not ours.
 */
#include "signals.h"

#include "blocking.h"

/* Nothing but what the program believes. */
int ups_trap_action(const struct sigaction *new, struct sigaction *old) {
  struct sigaction was = {.sa_flags = atomic_load(&ups_actions[SIGTRAP].flags)};
  uint64_t mask = atomic_load(&ups_actions[SIGTRAP].mask);
  was.sa_sigaction = atomic_load(&ups_actions[SIGTRAP].function); /* null is SIG_DFL */
  memcpy(&was.sa_mask, &mask, sizeof mask);
  if (new)
    ups_action_remember(SIGTRAP, new);
  if (old)
    *old = was;
  return 0;
}

/* The process ends of the signal, as if the runtime were not there. */
static void die_of_trap(void) {
  struct sigaction action = {.sa_handler = SIG_DFL};
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTRAP);
  sigaction(SIGTRAP, &action, NULL);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  syscall(SYS_tgkill, getpid(), ups_gettid(), SIGTRAP);
}

static void not_ours(int number, siginfo_t *information, void *context) {
  ups_action_function *function = atomic_load(&ups_actions[SIGTRAP].function);
  int flags = atomic_load(&ups_actions[SIGTRAP].flags);
  bool sent = information->si_code <= 0; /* by a process, not by an instruction */
  bool ignored = (uintptr_t)function == (uintptr_t)SIG_IGN;
  if (ignored && sent)
    return;
  if (!function || ignored) {
    die_of_trap();
    return;
  }
  if (flags & SA_RESETHAND)
    atomic_store(&ups_actions[SIGTRAP].function, NULL);
  /* The kernel gave the runtime's handler a full mask; the program's has its own. */
  const ucontext_t *machine = context;
  uint64_t mask = atomic_load(&ups_actions[SIGTRAP].mask) | ups_mask_of(&machine->uc_sigmask);
  sigset_t set, before;
  sigemptyset(&set);
  mask = ups_mask_filter(mask);
  memcpy(&set, &mask, sizeof mask);
  ups_action_runs(flags, context);
  pthread_sigmask(SIG_SETMASK, &set, &before);
  function(number, information, context);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void on_trap(int signal, siginfo_t *info, void *context) {
  int error = errno;
  if (info->si_code <= 0 || !ups_point_trapped(context, error)) not_ours(signal, info, context);
  errno = error;
}

void ups_trap_install(void) {
  struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK}, old;
  ups_signals_all(&action.sa_mask); /* sigfillset would leave out those of the C library's own */
  if (sigaction(SIGTRAP, &action, &old) != 0 || old.sa_sigaction == on_trap) return;
  if (old.sa_sigaction != ups_on_signal) ups_action_remember(SIGTRAP, &old); /* else it is, by upstare_sigaction */
}
