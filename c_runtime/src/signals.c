/*
 * The program's signals.
 *
 * Masks. SIGTRAP and the reserved signal are never blocked in transformed code: they are taken out of every set that the
 * program gives. Whether it asked for SIGTRAP to be blocked is remembered for each thread, so that it reads back what
 * it set; the reserved signal behaves like the two that libc reserves for itself, which cannot be blocked.
 *
 * Handlers. A handler of the program's is called by ups_on_signal, which counts the handlers that have run in the thread
 * and, if the signal came in the restartable region, sends the thread out of it: so a call that is issued again after a
 * stop can tell that a handler has run since the program made it, and answers EINTR where the kernel would have.
 * Dispositions are still the kernel's; only the handler and the mask that the program gave are kept here. Handlers that
 * a library installs are not counted and otherwise work as ever.
 *
 * SIGTRAP is like any other as long as the runtime sleeps; see update/trap.c.
 */
#include "signals.h"

#include "blocking.h"
#include "direct.h"

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
  bool named = set && (ups_mask_of(set) & BIT(SIGTRAP)); /* `old` may be the same set */
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
    *(unsigned char *)old |= BIT(SIGTRAP);
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
  ups_direct(SYS_rt_sigprocmask, SIG_BLOCK, (long)&mask, (long)old, sizeof mask);
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

struct ups_action ups_actions[_NSIG];

void ups_action_runs(int flags, void *context) {
  ups_handlers_run.any++;
  if (!(flags & SA_RESTART))
    ups_handlers_run.interrupting++;
  /* What the kernel has interrupted, it has interrupted for good; what it would restart, we look at first: something may
   * be wanted of the thread meanwhile. */
  if (ups_awake())
    ups_signals_restarted(context);
}

/* Calls the program's handler. */
void ups_on_signal(int number, siginfo_t *information, void *context) {
  ups_action_function *function = atomic_load_explicit(&ups_actions[number].function, memory_order_acquire);
  ups_action_runs(atomic_load_explicit(&ups_actions[number].flags, memory_order_relaxed), context);
  if (function)
    function(number, information, context);
}

static bool is_function(const struct sigaction *action) {
  return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

void ups_action_remember(int number, const struct sigaction *action) {
  atomic_store(&ups_actions[number].mask, ups_mask_of(&action->sa_mask));
  atomic_store(&ups_actions[number].flags, action->sa_flags);
  atomic_store(&ups_actions[number].function, (ups_action_function *)action->sa_sigaction);
}

/* An action as the kernel has it. Where a handler returns to is known to the C library: it is learned from the first
 * handler that the library installs for us. Somebody who stands in for the library's sigaction may install another one
 * than we gave it; then all go that way, and nothing is learned. */
struct kernel_action {
  ups_action_function *function;
  unsigned long flags;
  void *back;
  uint64_t mask;
};

static _Atomic(void *) known_back;

static void learn(int number) {
  struct kernel_action made;
  if (ups_direct(SYS_rt_sigaction, number, 0, (long)&made, sizeof made.mask) == 0 && made.function == ups_on_signal &&
      made.flags & UPS_SA_RESTORER)
    atomic_store_explicit(&known_back, made.back, memory_order_relaxed);
}

/* sigaction of the C library. */
static int change_by_library(int number, const struct kernel_action *new, struct kernel_action *old) {
  struct sigaction given, was;
  if (new) {
    given = (struct sigaction){.sa_sigaction = new->function, .sa_flags = (int)new->flags};
    memcpy(&given.sa_mask, &new->mask, sizeof new->mask);
  }
  if (sigaction(number, new ? &given : NULL, &was))
    return -1;
  if (new && new->function == ups_on_signal)
    learn(number);
  *old = (struct kernel_action){was.sa_sigaction, (unsigned)was.sa_flags, (void *)was.sa_restorer,
                                ups_mask_of(&was.sa_mask)};
  return 0;
}

static int change(int number, struct kernel_action *new, struct kernel_action *old) {
  void *back = atomic_load_explicit(&known_back, memory_order_relaxed);
  if (!back || number == SIGABRT) /* abort() may have to be kept from changing it meanwhile */
    return change_by_library(number, new, old);
  if (new) {
    new->flags |= UPS_SA_RESTORER;
    new->back = back;
  }
  long result = ups_direct(SYS_rt_sigaction, number, (long)new, (long)old, sizeof old->mask);
  if (result == 0)
    return 0;
  errno = (int)-result;
  return -1;
}

/* The two that the C library reserves for itself, and ours. */
static bool is_reserved(int number) { return (number >= __SIGRTMIN && number < __SIGRTMIN + 2) || number == UPS_SIGNAL; }

int upstare_sigaction(int number, const struct sigaction *restrict new, struct sigaction *restrict old) {
  if (number <= 0 || number >= _NSIG || is_reserved(number)) {
    errno = EINVAL;
    return -1;
  }
  if (number == SIGTRAP && ups_awake())
    return ups_trap_action(new, old);

  ups_action_function *function = atomic_load(&ups_actions[number].function);
  uint64_t mask = atomic_load(&ups_actions[number].mask);
  struct kernel_action given, was;
  if (new) {
    given = (struct kernel_action){new->sa_sigaction, (unsigned)new->sa_flags, NULL,
                                   ups_mask_filter(ups_mask_of(&new->sa_mask))};
    if (is_function(new)) {
      given.function = ups_on_signal;
      ups_action_remember(number, new);
    }
  }
  if (change(number, new ? &given : NULL, &was))
    return -1;
  if (number == SIGTRAP && ups_awake())
    ups_trap_install(); /* it has become the runtime's in between */
  if (old) {
    bool ours = was.function == ups_on_signal;
    *old = (struct sigaction){.sa_sigaction = ours ? function : was.function, .sa_flags = (int)was.flags};
    old->sa_restorer = (void (*)(void))was.back;
    memcpy(&old->sa_mask, ours ? &mask : &was.mask, sizeof mask);
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
