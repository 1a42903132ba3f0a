/*
 * The life of a blocking call: issue, stop, frame, resume.
 */
#include "call.h"

#include <ucontext.h>

#include "quiet.h"

static const struct {
  const char *name;
  ups_run *run;
  uint8_t arguments; /* how many of ups_call.argument it uses */
  bool cancellation; /* a cancellation point */
} operations[UPS_OP_COUNT] = {
    [UPS_OP_READ] = {"read", ups_run_read, 3, true},
    [UPS_OP_WRITE] = {"write", ups_run_write, 3, true},
    [UPS_OP_READV] = {"readv", ups_run_readv, 3, true},
    [UPS_OP_WRITEV] = {"writev", ups_run_writev, 3, true},
    [UPS_OP_RECVFROM] = {"recv", ups_run_recvfrom, 6, true},
    [UPS_OP_SENDTO] = {"send", ups_run_sendto, 6, true},
    [UPS_OP_RECVMSG] = {"recvmsg", ups_run_recvmsg, 3, true},
    [UPS_OP_SENDMSG] = {"sendmsg", ups_run_sendmsg, 3, true},
    [UPS_OP_RECVMMSG] = {"recvmmsg", ups_run_recvmmsg, 6, true},
    [UPS_OP_SENDMMSG] = {"sendmmsg", ups_run_sendmmsg, 4, true},
    [UPS_OP_ACCEPT] = {"accept", ups_run_accept, 4, true},
    [UPS_OP_CONNECT] = {"connect", ups_run_connect, 3, true},
    [UPS_OP_POLL] = {"poll", ups_run_poll, 3, true},
    [UPS_OP_PPOLL] = {"ppoll", ups_run_ppoll, 2, true},
    [UPS_OP_SELECT] = {"select", ups_run_select, 5, true},
    [UPS_OP_PSELECT] = {"pselect", ups_run_pselect, 4, true},
    [UPS_OP_EPOLL_WAIT] = {"epoll_wait", ups_run_epoll_wait, 4, true},
    [UPS_OP_EPOLL_PWAIT] = {"epoll_pwait", ups_run_epoll_pwait, 4, true},
    [UPS_OP_NANOSLEEP] = {"nanosleep", ups_run_nanosleep, 1, true},
    [UPS_OP_CLOCK_NANOSLEEP] = {"clock_nanosleep", ups_run_clock_nanosleep, 1, true},
    [UPS_OP_SLEEP] = {"sleep", ups_run_sleep, 0, true},
    [UPS_OP_USLEEP] = {"usleep", ups_run_usleep, 0, true},
    [UPS_OP_PAUSE] = {"pause", ups_run_pause, 0, true},
    [UPS_OP_SIGSUSPEND] = {"sigsuspend", ups_run_sigsuspend, 1, true},
    [UPS_OP_SIGTIMEDWAIT] = {"sigtimedwait", ups_run_sigtimedwait, 1, true},
    [UPS_OP_SIGWAIT] = {"sigwait", ups_run_sigwait, 1, true},
    [UPS_OP_WAIT4] = {"waitpid", ups_run_wait4, 4, true},
    [UPS_OP_WAITID] = {"waitid", ups_run_waitid, 4, true},
    [UPS_OP_MUTEX_LOCK] = {"pthread_mutex_lock", ups_run_mutex_lock, 1, false},
    [UPS_OP_COND_WAIT] = {"pthread_cond_wait", ups_run_cond_wait, 2, false}, /* sees to it itself */
    [UPS_OP_COND_DESTROY] = {"pthread_cond_destroy", ups_run_cond_destroy, 1, false},
    [UPS_OP_SEM_WAIT] = {"sem_wait", ups_run_sem_wait, 1, true},
    [UPS_OP_JOIN] = {"pthread_join", ups_run_join, 2, true},
    [UPS_OP_FGETS] = {"fgets", ups_run_fgets, 5, false}, /* stdio sees to it itself, for the stream's lock */
    [UPS_OP_FGETC] = {"getc", ups_run_fgetc, 3, false},
    [UPS_OP_FREAD] = {"fread", ups_run_fread, 6, false},
    [UPS_OP_GETDELIM] = {"getline", ups_run_getdelim, 6, false},
    [UPS_OP_SCANF] = {"scanf", ups_run_scanf, 3, false},
    [UPS_OP_SENDFILE] = {"sendfile", ups_run_sendfile, 4, false},
};

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

/* The call becomes a frame. What it does not use is zero there: whoever looks for pointers in frames finds only its own. */
static void leave_frame(const struct ups_call *call) {
  struct ups_call *frame = (struct ups_call *)ups_frame_push(call->op, 1, sizeof *call);
  *frame = *call;
  for (unsigned i = operations[call->op].arguments; i < sizeof frame->argument / sizeof *frame->argument; i++)
    frame->argument[i] = 0;
  if (call->op != UPS_OP_SCANF)
    memset(frame->pointer, 0, sizeof frame->pointer);
}

/* The region was left without a result, or a transfer was cut short. UPS_CP_STOPPED: go on. */
static long stopped(struct ups_call *call) {
  struct ups_thread *self = ups_self;
  if (interrupted(call))
    return -EINTR;
  if (!self || !atomic_load_explicit(&self->attention, memory_order_acquire))
    return UPS_CP_STOPPED;
  if (ups_blocking_stop()) {
    leave_frame(call);
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
  long result = __builtin_expect(ups_cancel_used, 0) && operations[call->op].cancellation
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

/* ---- Frames ---------------------------------------------------------------------------------------------------------- */

long ups_call_run(struct ups_call *call) {
  if (__builtin_expect(!ups_call_quiet(), 0) && ups_self && ups_blocking_point()) {
    leave_frame(call);
    return 0;
  }
  return operations[call->op].run(call);
}

long ups_call_again(struct ups_call *call) { return operations[call->op].run(call); }

long ups_call_go_on(struct ups_call *call) {
  long result = stopped(call);
  return result == UPS_CP_STOPPED ? ups_call_again(call) : ups_call_return(result);
}

long ups_blocking_resume(void) {
  struct ups_call call;
  uint32_t point, phase;
  memcpy(&call, upstare_resume_begin(&point, &phase), sizeof call); /* at once: the data does not live long */
  return operations[call.op].run(&call);
}

const char *ups_blocking_name(uint64_t function) {
  return function < UPS_OP_COUNT ? operations[function].name : NULL;
}
