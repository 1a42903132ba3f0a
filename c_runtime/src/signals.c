/*
 * The program's signals.
 *
 * Masks. SIGTRAP and the reserved signal are never blocked in transformed code: they are taken out of every set that the
 * program gives. Whether it asked for SIGTRAP to be blocked is remembered for each thread, so that it reads back what
 * it set; the reserved signal behaves like the two that libc reserves for itself, which cannot be blocked.
 *
 * Handlers. A handler of the program's is called by on_signal, which counts the handlers that have run in the thread
 * and, if the signal came in the restartable region, sends the thread out of it: so a call that is issued again after a
 * stop can tell that a handler has run since the program made it, and answers EINTR where the kernel would have.
 * Dispositions are still the kernel's; only the handler and the mask that the program gave are kept here. Handlers that
 * a library installs are not counted and otherwise work as ever.
 *
 * SIGTRAP. The disposition is the runtime's; the program's own is kept here and honoured for traps that are not ours.
 */
#include "runtime.h"

#include "blocking.h"

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* sigblock, sighold and their like are wrapped all the same */

UPS_PUBLIC __typeof__(sigprocmask) upstare_sigprocmask;
UPS_PUBLIC __typeof__(pthread_sigmask) upstare_pthread_sigmask;
UPS_PUBLIC __typeof__(sigaction) upstare_sigaction;
UPS_PUBLIC __typeof__(signal) upstare_signal;
UPS_PUBLIC __typeof__(siginterrupt) upstare_siginterrupt;
UPS_PUBLIC __typeof__(sighold) upstare_sighold;
UPS_PUBLIC __typeof__(sigrelse) upstare_sigrelse;
UPS_PUBLIC __typeof__(sigignore) upstare_sigignore;
UPS_PUBLIC __typeof__(sigset) upstare_sigset;
UPS_PUBLIC __typeof__(sigblock) upstare_sigblock;
UPS_PUBLIC __typeof__(sigsetmask) upstare_sigsetmask;

#define BIT(number) (1ull << ((number) - 1))

/* ---- Masks ------------------------------------------------------------------------------------------------------------ */

uint64_t ups_mask_filter(uint64_t mask) { return mask & ~(BIT(SIGTRAP) | BIT(UPS_SIGNAL)); }

void ups_signals_filter(sigset_t *set) {
  uint64_t mask;
  memcpy(&mask, set, sizeof mask);
  mask = ups_mask_filter(mask);
  memcpy(set, &mask, sizeof mask);
}

/* The program believes that SIGTRAP is blocked in this thread. */
static __thread volatile bool trap_blocked __attribute__((tls_model("local-exec")));

int upstare_pthread_sigmask(int how, const sigset_t *restrict set, sigset_t *restrict old) {
  bool was_blocked = trap_blocked;
  sigset_t filtered;
  if (set) {
    filtered = *set;
    ups_signals_filter(&filtered);
  }
  bool named = set && sigismember(set, SIGTRAP) == 1; /* `old` may be the same set */
  int error = pthread_sigmask(how, set ? &filtered : NULL, old);
  if (error)
    return error;
  if (set) {
    if (how == SIG_SETMASK)
      trap_blocked = named;
    else if (named)
      trap_blocked = how == SIG_BLOCK;
  }
  if (old && was_blocked)
    sigaddset(old, SIGTRAP);
  return 0;
}

int upstare_sigprocmask(int how, const sigset_t *restrict set, sigset_t *restrict old) {
  int error = upstare_pthread_sigmask(how, set, old);
  if (!error)
    return 0;
  errno = error;
  return -1;
}

void ups_signals_before_exec(sigset_t *old) {
  uint64_t mask = BIT(UPS_SIGNAL) | (trap_blocked ? BIT(SIGTRAP) : 0);
  syscall(SYS_rt_sigprocmask, SIG_BLOCK, &mask, old, sizeof mask);
}

static int change_one(int how, int number) {
  sigset_t set;
  sigemptyset(&set);
  return sigaddset(&set, number) < 0 ? -1 : upstare_sigprocmask(how, &set, NULL);
}

int upstare_sighold(int number) { return change_one(SIG_BLOCK, number); }

int upstare_sigrelse(int number) { return change_one(SIG_UNBLOCK, number); }

/* BSD's masks have the first 32 signals. */
static int change_low(int how, int mask) {
  sigset_t set, old;
  uint64_t wide = (uint32_t)mask, was;
  sigemptyset(&set);
  memcpy(&set, &wide, sizeof wide);
  if (upstare_sigprocmask(how, &set, &old))
    return -1;
  memcpy(&was, &old, sizeof was);
  return (int)(uint32_t)was;
}

int upstare_sigblock(int mask) { return change_low(SIG_BLOCK, mask); }

int upstare_sigsetmask(int mask) { return change_low(SIG_SETMASK, mask); }

/* ---- Handlers ---------------------------------------------------------------------------------------------------------- */

typedef void action_function(int, siginfo_t *, void *);

/* What the program asked for, of those signals that have (or had) a handler of its. A signal that comes while another
 * thread changes its action meets the old or the new handler, as ever. */
static struct {
  _Atomic(action_function *) function;
  _Atomic(uint64_t) mask;
  _Atomic(int) flags;
} actions[_NSIG];

static void count(int flags, void *context) {
  ups_handlers_run.any++;
  if (!(flags & SA_RESTART))
    ups_handlers_run.interrupting++;
  /* What the kernel has interrupted, it has interrupted for good; what it would restart, we look at first. */
  if (ups_blocking_classify(context) == UPS_PLACE_BEFORE)
    ups_blocking_set_stop(context);
}

/* Calls the program's handler. */
static void on_signal(int number, siginfo_t *information, void *context) {
  action_function *function = atomic_load_explicit(&actions[number].function, memory_order_acquire);
  count(atomic_load_explicit(&actions[number].flags, memory_order_relaxed), context);
  if (function)
    function(number, information, context);
}

static bool is_function(const struct sigaction *action) {
  return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

static uint64_t mask_of(const sigset_t *set) {
  uint64_t mask;
  memcpy(&mask, set, sizeof mask);
  return mask;
}

static void remember(int number, const struct sigaction *action) {
  atomic_store(&actions[number].mask, mask_of(&action->sa_mask));
  atomic_store(&actions[number].flags, action->sa_flags);
  atomic_store(&actions[number].function, (action_function *)action->sa_sigaction);
}

/* SIGTRAP: nothing but what the program believes. */
static int virtual_trap(const struct sigaction *new, struct sigaction *old) {
  struct sigaction was = {.sa_flags = atomic_load(&actions[SIGTRAP].flags)};
  uint64_t mask = atomic_load(&actions[SIGTRAP].mask);
  was.sa_sigaction = atomic_load(&actions[SIGTRAP].function); /* null is SIG_DFL */
  memcpy(&was.sa_mask, &mask, sizeof mask);
  if (new)
    remember(SIGTRAP, new);
  if (old)
    *old = was;
  return 0;
}

int upstare_sigaction(int number, const struct sigaction *restrict new, struct sigaction *restrict old) {
  if (number <= 0 || number >= _NSIG || number == UPS_SIGNAL) {
    errno = EINVAL;
    return -1;
  }
  if (number == SIGTRAP)
    return virtual_trap(new, old);

  action_function *function = atomic_load(&actions[number].function);
  uint64_t mask = atomic_load(&actions[number].mask);
  struct sigaction given, was;
  if (new) {
    given = *new;
    ups_signals_filter(&given.sa_mask);
    if (is_function(new)) {
      given.sa_sigaction = on_signal;
      remember(number, new);
    }
  }
  if (sigaction(number, new ? &given : NULL, &was))
    return -1;
  if (old) {
    *old = was;
    if (was.sa_sigaction == on_signal) {
      old->sa_sigaction = function;
      memcpy(&old->sa_mask, &mask, sizeof mask);
    }
  }
  return 0;
}

/* Signals that siginterrupt was told about: signal() gives them no SA_RESTART. */
static _Atomic(uint64_t) interrupting;

__sighandler_t upstare_signal(int number, __sighandler_t handler) {
  struct sigaction new = {.sa_handler = handler}, old;
  if (handler == SIG_ERR || number <= 0 || number >= _NSIG) {
    errno = EINVAL;
    return SIG_ERR;
  }
  sigaddset(&new.sa_mask, number);
  new.sa_flags = atomic_load(&interrupting) & BIT(number) ? 0 : SA_RESTART;
  return upstare_sigaction(number, &new, &old) ? SIG_ERR : old.sa_handler;
}

int upstare_siginterrupt(int number, int interrupt) {
  struct sigaction action;
  if (upstare_sigaction(number, NULL, &action))
    return -1;
  if (interrupt) {
    atomic_fetch_or(&interrupting, BIT(number));
    action.sa_flags &= ~SA_RESTART;
  } else {
    atomic_fetch_and(&interrupting, ~BIT(number));
    action.sa_flags |= SA_RESTART;
  }
  return upstare_sigaction(number, &action, NULL);
}

int upstare_sigignore(int number) {
  struct sigaction action = {.sa_handler = SIG_IGN};
  return upstare_sigaction(number, &action, NULL);
}

__sighandler_t upstare_sigset(int number, __sighandler_t handler) {
  struct sigaction old, new = {.sa_handler = handler};
  sigset_t set, before;
  sigemptyset(&set);
  if (handler == SIG_ERR || sigaddset(&set, number) < 0) {
    errno = EINVAL;
    return SIG_ERR;
  }
  bool hold = handler == SIG_HOLD;
  if (upstare_sigaction(number, hold ? NULL : &new, &old) ||
      upstare_sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, &before))
    return SIG_ERR;
  return sigismember(&before, number) ? SIG_HOLD : old.sa_handler;
}

/* ---- SIGTRAP ------------------------------------------------------------------------------------------------------------ */

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

void ups_signals_trap(int number, siginfo_t *information, void *context) {
  action_function *function = atomic_load(&actions[SIGTRAP].function);
  int flags = atomic_load(&actions[SIGTRAP].flags);
  bool sent = information->si_code <= 0; /* by a process, not by an instruction */
  bool ignored = (uintptr_t)function == (uintptr_t)SIG_IGN;
  if (ignored && sent)
    return;
  if (!function || ignored) {
    die_of_trap();
    return;
  }
  if (flags & SA_RESETHAND)
    atomic_store(&actions[SIGTRAP].function, NULL);
  /* The kernel gave the runtime's handler a full mask; the program's has its own. */
  const ucontext_t *machine = context;
  uint64_t mask = atomic_load(&actions[SIGTRAP].mask) | mask_of(&machine->uc_sigmask);
  sigset_t set, before;
  sigemptyset(&set);
  mask = ups_mask_filter(mask);
  memcpy(&set, &mask, sizeof mask);
  count(flags, context);
  pthread_sigmask(SIG_SETMASK, &set, &before);
  function(number, information, context);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}
