/*
 * The life of a blocking call: issue and stop. What becomes of it as a frame is in update/calls.c.
 */
#include "call.h"

#include <ucontext.h>

#include "quiet.h"

__thread struct ups_handlers_run ups_handlers_run __attribute__((tls_model("local-exec")));
__thread volatile uint32_t ups_cp_place __attribute__((tls_model("local-exec")));

volatile uint32_t ups_quick_off;

/* For threads that are not ours, and for calls that no handler ends. */
static const volatile uint32_t never;

/* ---- Handlers -------------------------------------------------------------------------------------------------------- */

extern const char ups_cp_begin[], ups_cp_end[], ups_cp_stop[], ups_cp_quick_begin[], ups_cp_quick_end[];

enum ups_place ups_blocking_classify(const void *context) {
  const ucontext_t *machine = context;
  uintptr_t pc = (uintptr_t)machine->uc_mcontext.gregs[REG_RIP];
  if ((pc >= (uintptr_t)ups_cp_begin && pc < (uintptr_t)ups_cp_end) ||
      (pc >= (uintptr_t)ups_cp_quick_begin && pc < (uintptr_t)ups_cp_quick_end))
    return UPS_PLACE_BEFORE;
  if (pc != (uintptr_t)ups_cp_end && pc != (uintptr_t)ups_cp_quick_end)
    return UPS_PLACE_ELSEWHERE;
  return machine->uc_mcontext.gregs[REG_RAX] == -EINTR ? UPS_PLACE_INTERRUPTED : UPS_PLACE_DONE;
}

void ups_blocking_set_stop(void *context) {
  ucontext_t *machine = context;
  enum ups_place place = ups_blocking_classify(context);
  if (place == UPS_PLACE_ELSEWHERE)
    return;
  if (place != UPS_PLACE_DONE)
    machine->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)ups_cp_stop;
  ups_cp_place = place;
}

/* ---- Issue and stop -------------------------------------------------------------------------------------------------- */

/* Whether a handler of the user's has ended the call. */
static bool interrupted(const struct ups_call *call) {
  switch (call->interruption) {
  case UPS_RESTARTS:
    return ups_handlers_run.interrupting != call->seen_interrupting;
  case UPS_INTERRUPTS:
    return ups_handlers_run.any != call->seen_any;
  default:
    return false;
  }
}

/* The region was left without a result, or a transfer was cut short. UPS_CP_STOPPED: go on. */
static long stopped(struct ups_call *call) {
  struct ups_thread *self = ups_self;
  if (interrupted(call))
    return -EINTR;
  if (!self || !atomic_load_explicit(&self->attention, memory_order_acquire))
    return UPS_CP_STOPPED;
  if (ups_blocking_stop()) {
    ups_call_leave(call);
    return UPS_CP_UNROLLED;
  }
  return interrupted(call) ? -EINTR : UPS_CP_STOPPED;
}

static long issue_cancellable(const struct ups_cp *cp, long number, long a, long b, long c, long d, long e, long f) {
  int type;
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type); /* acts on a pending one */
  long result = ups_cp_syscall(cp, number, a, b, c, d, e, f);
  pthread_setcanceltype(type, NULL);
  return result;
}

long ups_call_issue(struct ups_call *call, long number, long a, long b, long c, long d, long e, long f) {
  struct ups_thread *self = ups_self;
  struct ups_cp cp = {.stop = self ? (const volatile uint32_t *)&self->attention : &never, .count = &never, .seen = 0};
  if (call->interruption == UPS_RESTARTS) {
    cp.count = &ups_handlers_run.interrupting;
    cp.seen = call->seen_interrupting;
    call->seen_any = ups_handlers_run.any; /* for ups_call_cut: what ran while something was being moved */
  } else if (call->interruption == UPS_INTERRUPTS) {
    cp.count = &ups_handlers_run.any;
    cp.seen = call->seen_any;
  }
  ups_cp_place = UPS_PLACE_ELSEWHERE;
  long result = __builtin_expect(ups_cancel_used, 0) && call->operation->cancellation
                    ? issue_cancellable(&cp, number, a, b, c, d, e, f)
                    : ups_cp_syscall(&cp, number, a, b, c, d, e, f);
  call->place = (uint8_t)ups_cp_place;
  if (__builtin_expect(result == UPS_CP_STOPPED, 0))
    return stopped(call);
  if (__builtin_expect(self && self->owes_stop, 0)) {
    self->owes_stop = false;
    atomic_fetch_or(&self->attention, UPS_ATTENTION_STOP);
  }
  return result;
}

long ups_call_cut(struct ups_call *call) {
  call->interruption = UPS_INTERRUPTS; /* with something done, SA_RESTART does not restart */
  long result = stopped(call);
  return result == UPS_CP_STOPPED ? 0 : result;
}

bool ups_call_is_quiet(void) { return ups_call_quiet(); }

long ups_call_fail(long result) {
  if (result == UPS_CP_UNROLLED)
    return 0;
  errno = (int)-result;
  return -1;
}

/* ---- From the beginning, and on ---------------------------------------------------------------------------------------- */

long ups_call_run(struct ups_call *call) {
  if (__builtin_expect(!ups_call_quiet(), 0) && ups_self && ups_blocking_point()) {
    ups_call_leave(call);
    return 0;
  }
  return call->operation->run(call);
}

long ups_call_again(struct ups_call *call) { return call->operation->run(call); }

long ups_call_go_on(struct ups_call *call) {
  long result = stopped(call);
  return result == UPS_CP_STOPPED ? ups_call_again(call) : ups_call_return(result);
}
