/*
 * What the program asked for of its signals. Shared by signals.c and update/trap.c.
 */
#ifndef UPS_SIGNALS_H
#define UPS_SIGNALS_H

#include "runtime.h"

#pragma GCC visibility push(hidden)

typedef void ups_action_function(int, siginfo_t *, void *);

/* Of those signals that have (or had) a handler of the program's. A signal that comes while another thread changes its
 * action meets the old or the new handler, as ever. */
struct ups_action {
  _Atomic(ups_action_function *) function;
  _Atomic(uint64_t) mask;
  _Atomic(int) flags;
};
extern struct ups_action ups_actions[_NSIG];

void ups_action_remember(int number, const struct sigaction *action);

/* The kernel's handler for those of the program: calls them. */
void ups_on_signal(int number, siginfo_t *information, void *context);

/* A handler of the program's begins to run. handler. */
void ups_action_runs(int flags, void *context);

static inline uint64_t ups_mask_of(const sigset_t *set) {
  uint64_t mask;
  memcpy(&mask, set, sizeof mask);
  return mask;
}

/* ---- update/trap.c ------------------------------------------------------------------------------------------------------ */

/* SIGTRAP is the runtime's from now on, if it was not; the program's own disposition is kept. any. */
void ups_trap_install(void);

/* sigaction for it. */
int ups_trap_action(const struct sigaction *new, struct sigaction *old);

#pragma GCC visibility pop

#endif
