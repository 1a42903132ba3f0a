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

ups_issue_function *volatile ups_issue;

/* For threads that are not ours, and for calls that no handler ends. */
const volatile uint32_t ups_never;

_Static_assert(UPS_RESTARTS == 0 && offsetof(struct ups_call, interruption) == 8 &&
                   offsetof(struct ups_call, place) == 9 && offsetof(struct ups_call, seen_any) == 16,
               "arch/x86_64/cp.S");

/* ---- Handlers -------------------------------------------------------------------------------------------------------- */

extern const char ups_cp_begin[], ups_cp_end[], ups_cp_stop[];
extern const char ups_first_begin[], ups_first_end[], ups_first_stopped[];
extern const char ups_issue_begin[], ups_issue_end[], ups_issue_stopped[];

/* Where calls are issued: from the first test to just behind the system call, and where a thread is sent that is not to
 * make it. */
static const struct region {
  const char *begin, *end, *stopped;
} regions[] = {
    {ups_cp_begin, ups_cp_end, ups_cp_stop},
    {ups_first_begin, ups_first_end, ups_first_stopped},
    {ups_issue_begin, ups_issue_end, ups_issue_stopped},
};

static const struct region *region_of(const ucontext_t *machine) {
  uintptr_t pc = (uintptr_t)machine->uc_mcontext.gregs[REG_RIP];
  for (size_t i = 0; i < sizeof regions / sizeof *regions; i++)
    if (pc >= (uintptr_t)regions[i].begin && pc <= (uintptr_t)regions[i].end)
      return &regions[i];
  return NULL;
}

enum ups_place ups_blocking_classify(const void *context) {
  const ucontext_t *machine = context;
  const struct region *region = region_of(machine);
  if (!region)
    return UPS_PLACE_ELSEWHERE;
  if ((uintptr_t)machine->uc_mcontext.gregs[REG_RIP] != (uintptr_t)region->end)
    return UPS_PLACE_BEFORE;
  return machine->uc_mcontext.gregs[REG_RAX] == -EINTR ? UPS_PLACE_INTERRUPTED : UPS_PLACE_DONE;
}

void ups_blocking_set_stop(void *context) {
  ucontext_t *machine = context;
  enum ups_place place = ups_blocking_classify(context);
  if (place == UPS_PLACE_ELSEWHERE)
    return;
  if (place != UPS_PLACE_DONE)
    machine->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)region_of(machine)->stopped;
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

/* Nothing is awake: it was only to see that it was cancelled. */
static void disregard(void) {
  struct ups_thread *self = ups_self;
  if (self)
    atomic_store(&self->attention, 0);
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
  disregard();
  return UPS_CP_STOPPED;
}

/* The runtime has been woken meanwhile. */
static UPS_ASLEEP long left(struct ups_call *call) { return stopped(call); }

/* From cp.S: the region was left where only the attention word was looked at. */
__attribute__((visibility("hidden"))) long ups_call_left(struct ups_call *call);

long ups_call_left(struct ups_call *call) {
  call->place = (uint8_t)ups_cp_place;
  if (ups_awake())
    return left(call);
  disregard();
  return UPS_CP_STOPPED;
}

long ups_call_issue_watched(struct ups_call *call, long number, long a, long b, long c, long d, long e, long f) {
  struct ups_thread *self = ups_self;
  struct ups_cp cp = {.stop = self ? (const volatile uint32_t *)&self->attention : &ups_never, .count = &ups_never, .seen = 0};
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

int ups_call_wait(const struct ups_operation *operation, long a, long b, clockid_t clock, const struct timespec *until) {
  struct ups_call call;
  ups_call_begin(&call, operation, UPS_INSENSITIVE);
  call.argument[0] = a;
  call.argument[1] = b;
  if (until) {
    call.timed = 1;
    call.clock = clock;
    call.until = *until;
  }
  return (int)ups_call_run(&call);
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
