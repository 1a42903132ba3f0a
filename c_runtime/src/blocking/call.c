/*
 * The life of a blocking call: issue and stop. What becomes of it as a frame is in update/calls.c.
 */
#include "call.h"

#include <ucontext.h>

#include "quiet.h"

__thread struct ups_handlers_run ups_handlers_run __attribute__((tls_model("local-exec")));
__thread volatile uint32_t ups_cp_place __attribute__((tls_model("local-exec")));

volatile uint32_t ups_quick_off;
const struct ups_cancellable *volatile ups_cancel;

/* For threads that are not ours, and for calls that no handler ends. */
static const volatile uint32_t never;

/* ---- Handlers -------------------------------------------------------------------------------------------------------- */

extern const char ups_cp_begin[], ups_cp_end[], ups_cp_stop[];
extern const char ups_first_begin[], ups_first_end[], ups_first_stopped[];

enum ups_place ups_blocking_classify(const void *context) {
  const ucontext_t *machine = context;
  uintptr_t pc = (uintptr_t)machine->uc_mcontext.gregs[REG_RIP];
  if ((pc >= (uintptr_t)ups_cp_begin && pc < (uintptr_t)ups_cp_end) ||
      (pc >= (uintptr_t)ups_first_begin && pc < (uintptr_t)ups_first_end))
    return UPS_PLACE_BEFORE;
  if (pc != (uintptr_t)ups_cp_end && pc != (uintptr_t)ups_first_end)
    return UPS_PLACE_ELSEWHERE;
  return machine->uc_mcontext.gregs[REG_RAX] == -EINTR ? UPS_PLACE_INTERRUPTED : UPS_PLACE_DONE;
}

void ups_blocking_set_stop(void *context) {
  ucontext_t *machine = context;
  enum ups_place place = ups_blocking_classify(context);
  if (place == UPS_PLACE_ELSEWHERE)
    return;
  greg_t *pc = &machine->uc_mcontext.gregs[REG_RIP];
  bool first = (uintptr_t)*pc >= (uintptr_t)ups_first_begin && (uintptr_t)*pc <= (uintptr_t)ups_first_end;
  if (place != UPS_PLACE_DONE)
    *pc = (greg_t)(uintptr_t)(first ? ups_first_stopped : ups_cp_stop);
  ups_cp_place = place;
}

/* ---- The description ------------------------------------------------------------------------------------------------- */

void ups_call_begin(struct ups_call *call, const struct ups_operation *operation, enum ups_interruption interruption) {
  call->operation = operation;
  call->interruption = (uint8_t)interruption;
  call->place = UPS_PLACE_ELSEWHERE;
  call->timed = 0;
  call->contended = 0;
  call->state = 0;
  call->seen_any = ups_handlers_run.any;
  call->seen_interrupting = ups_handlers_run.interrupting;
  call->clock = 0;
  call->until = (struct timespec){0, 0};
  call->progress = 0;
  call->part = 0;
  call->mask = 0;
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

/* A call that could not be stopped in is over, or a part of it. */
static UPS_ASLEEP void settle(void) {
  struct ups_thread *self = ups_self;
  if (self && self->owes_stop) {
    self->owes_stop = false;
    atomic_fetch_or(&self->attention, UPS_ATTENTION_STOP);
  }
}

/* Something is wanted of the thread. UPS_CP_STOPPED: go on. */
static UPS_ASLEEP long heed(struct ups_call *call) {
  if (ups_blocking_stop()) {
    ups_call_leave(call);
    return UPS_CP_UNROLLED;
  }
  if (!interrupted(call))
    return UPS_CP_STOPPED;
  settle();
  return -EINTR;
}

/* The region was left without a result, or a transfer was cut short. UPS_CP_STOPPED: go on. */
static long stopped(struct ups_call *call) {
  struct ups_thread *self = ups_self;
  if (interrupted(call))
    return -EINTR;
  if (!self || !atomic_load_explicit(&self->attention, memory_order_acquire))
    return UPS_CP_STOPPED;
  if (ups_awake())
    return heed(call);
  atomic_store(&self->attention, 0); /* only to see that it was cancelled */
  return UPS_CP_STOPPED;
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
  const struct ups_cancellable *cancel = ups_cancel;
  long result = __builtin_expect(cancel != NULL, 0) && call->operation->cancellation
                    ? cancel->issue(&cp, number, a, b, c, d, e, f)
                    : ups_cp_syscall(&cp, number, a, b, c, d, e, f);
  call->place = (uint8_t)ups_cp_place;
  if (__builtin_expect(result == UPS_CP_STOPPED, 0))
    return stopped(call);
  if (ups_awake())
    settle();
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

/* A point: the call is taken apart before it is issued. */
static UPS_ASLEEP bool taken_at_once(const struct ups_call *call) {
  if (ups_call_quiet() || !ups_self || !ups_blocking_point())
    return false;
  ups_call_leave(call);
  return true;
}

long ups_call_run(struct ups_call *call) {
  return ups_awake() && taken_at_once(call) ? 0 : ups_call_again(call);
}

long ups_call_again(struct ups_call *call) {
  long result = call->operation->run(call);
  if (ups_awake())
    settle();
  return result;
}

long ups_call_go_on(struct ups_call *call) {
  long result = stopped(call);
  return result == UPS_CP_STOPPED ? ups_call_again(call) : ups_call_return(result);
}
