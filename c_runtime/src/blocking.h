/*
 * Blocking calls: what the core and the wrappers say to each other.
 *
 * A blocking call of transformed code is a runtime function upstare_<name>. It describes itself in a struct ups_call,
 * waits in the restartable region (arch/x86_64/cp.S) and, when the thread is to be taken apart, leaves that struct as a
 * frame of its own. The frame is resumed by ups_blocking_resume, which issues the call again with what is left of it.
 *
 * The reserved signal's handler, the handler of the user's signals (signals.c) and the region share one protocol:
 *
 *     PC in [ups_cp_begin, ups_cp_end)          nothing was issued, or the kernel undid it and would issue it again
 *     PC == ups_cp_end, result -EINTR           the wait was interrupted
 *     PC == ups_cp_end, any other result        the call is complete; a transfer may have been cut short
 *
 * (and the same for ups_first_begin and ups_first_end, where calls are issued that nobody has described yet, and for
 * ups_issue_begin and ups_issue_end, while the runtime sleeps.)
 *
 * In the first two cases a handler sends the thread to ups_cp_stop (the region returns UPS_CP_STOPPED); in the third it
 * only leaves a note. What to do then is decided by the wrapper, outside of any handler.
 */
#ifndef UPS_BLOCKING_H
#define UPS_BLOCKING_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

/* ---- For the core: handlers ---------------------------------------------------------------------------------------- */

enum ups_place {
  UPS_PLACE_ELSEWHERE = 0,   /* not in the region */
  UPS_PLACE_BEFORE = 1,      /* before the system call; a safe context if the rest of the stack is (see the walk) */
  UPS_PLACE_INTERRUPTED = 2, /* just after it, with -EINTR */
  UPS_PLACE_DONE = 3         /* just after it, with its result */
};

/* Where the signal found the thread. In a handler; `context` is its ucontext_t. */
enum ups_place ups_blocking_classify(const void *context);

/* Makes the region return UPS_CP_STOPPED when the handler returns (BEFORE, INTERRUPTED), or notes that the call was cut
 * short (DONE). Nothing elsewhere. To be called for every signal of ours, whatever it was sent for and whether or not
 * the attention word is set: the wrapper looks at that word, and otherwise goes on waiting for what is left. The handler
 * must be installed with SA_RESTART (what the kernel can restart is then found as BEFORE) and a full sa_mask. handler. */
void ups_blocking_set_stop(void *context);

/* A bit of ups_thread.attention, besides the core's own: only to get the thread out of the region for a moment, so that
 * it sees that it was cancelled. ups_blocking_stop clears it with the others. */
#define UPS_ATTENTION_CANCEL 0x80u

/* ---- For the core: frames ------------------------------------------------------------------------------------------ */

/* Frames of blocking calls have function ids in 1 .. UPS_BLOCKING_IDS-1, the same in all versions; no mapping concerns
 * them: they are copied as they are. */
#define UPS_BLOCKING_IDS 256u

/* The resume clone of every blocking call: issues the call again. All of them return an integer or a pointer, so that
 * one function serves. */
long ups_blocking_resume(void);

/* The name of the call of a frame, for reports ("recv"); null: no such id. any. */
const char *ups_blocking_name(uint64_t function);

/* ---- For the core: the program's signals --------------------------------------------------------------------------- */

/* A handler of the program's has run in the region, before the system call or where it would be restarted. handler. */
void ups_signals_restarted(void *context);

/* Removes the signals that are never blocked in transformed code (SIGTRAP, UPS_SIGNAL). any. */
void ups_signals_filter(sigset_t *set);
uint64_t ups_mask_filter(uint64_t mask); /* of the kernel's form of a set */
/* What a program that is executed shall find blocked, in the kernel's form; the mask of before goes to `old`. */
void ups_signals_before_exec(sigset_t *old);

/* ---- Inside this part ---------------------------------------------------------------------------------------------- */

#define UPS_CP_STOPPED (-0x10000L) /* of the region, and no result of a system call: the call was not made, or has to be made again */

/* What the region tests just before the system call. */
struct ups_cp {
  const volatile uint32_t *stop;  /* goes to ups_cp_stop if not 0 */
  const volatile uint32_t *count; /* ... or if this is not */
  uint32_t seen;                  /* ... this any more */
};

/* The system call `number`, unless a stop is wanted: its result (-errno), or UPS_CP_STOPPED. */
long ups_cp_syscall(const struct ups_cp *cp, long number, long a, long b, long c, long d, long e, long f);

/* Handlers of the user's that ran in this thread so far: all of them, and those without SA_RESTART. */
struct ups_handlers_run {
  volatile uint32_t any, interrupting;
};
extern __thread struct ups_handlers_run ups_handlers_run __attribute__((tls_model("local-exec")));

/* Left by ups_blocking_set_stop; cleared before each call in the region. */
extern __thread volatile uint32_t ups_cp_place __attribute__((tls_model("local-exec")));

/* What issues described calls, once it must be seen that a handler has run before the system call, or that the thread is
 * cancelled. Null: the runtime sleeps, and nobody has been cancelled. Set once. */
struct ups_call;
typedef long ups_issue_function(struct ups_call *call, long number, long a, long b, long c, long d, long e, long f);
extern ups_issue_function *volatile ups_issue;
ups_issue_function ups_call_issue_watched;

/* Calls are described before they are issued: under the storm, and once threads are cancelled. */
extern volatile uint32_t ups_quick_off;

#pragma GCC visibility pop

#endif
