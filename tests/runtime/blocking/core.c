/*
 * A stand-in for the core, for tests of the blocking calls alone. Threads stop and go on, or are "unrolled" at once: the
 * frame is kept aside, the call returns its dummy, and the caller (TEST_CALL in core.h) resumes it.
 */
#include "core.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime.h"

#include "blocking.h"
#include "signals.h"

_Thread_local struct ups_thread *ups_self __attribute__((tls_model("local-exec")));
struct ups_stop ups_stop;
uint32_t ups_storm_every;
const char *ups_preloaded;
_Atomic(uint32_t) ups_is_awake;

static _Thread_local struct ups_thread record;
static _Thread_local unsigned char frame[4096] __attribute__((aligned(16)));
static _Thread_local volatile bool unrolled;
static _Thread_local unsigned seed;

/* Nobody may wake it while nothing is wanted: then every call goes the way that it goes before the first update. */
bool ups_wake(void) { return atomic_load(&ups_is_awake) != 0; }

bool ups_point_trapped(ucontext_t *context, int error) {
  (void)context, (void)error;
  return false;
}

static struct ups_thread *_Atomic threads[64];
static _Atomic uint64_t stops, unrolls;
static enum test_mode mode;

int ups_gettid(void) { return (int)syscall(SYS_gettid); }

struct ups_thread *ups_thread_find(int tid) {
  for (unsigned i = 0; i < 64; i++) {
    struct ups_thread *thread = threads[i];
    if (thread && atomic_load(&thread->tid) == tid) return thread;
  }
  return NULL;
}

/* ---- What the core does ------------------------------------------------------------------------------------------ */

static void block(sigset_t *before) {
  sigset_t all;
  sigfillset(&all);
  sigdelset(&all, SIGTRAP);
  sigdelset(&all, UPS_SIGNAL);
  pthread_sigmask(SIG_SETMASK, &all, before);
}

void ups_signals_block(sigset_t *old) { block(old); }

void ups_signals_restore(const sigset_t *old) { pthread_sigmask(SIG_SETMASK, old, NULL); }

void ups_signals_all(sigset_t *set) { sigfillset(set); }

static bool stop(void) {
  sigset_t before;
  int error = errno;
  block(&before);
  atomic_store(&record.attention, 0);
  atomic_fetch_add(&stops, 1);
  if (mode == TEST_PARK || mode == TEST_UNROLL)
    usleep((unsigned)rand_r(&seed) % 300);
  record.mask = before;
  bool unroll = mode == TEST_UNROLL || mode == TEST_STORM ? rand_r(&seed) % 4 != 0 : false;
  if (!unroll)
    pthread_sigmask(SIG_SETMASK, &before, NULL);
  errno = error;
  return unroll;
}

bool ups_blocking_stop(void) { return stop(); }

bool ups_blocking_point(void) { return mode == TEST_STORM && stop(); }

unsigned char *ups_frame_push(uint64_t function, uint32_t point, uint32_t size) {
  (void)point;
  if (unrolled || size > sizeof frame || !ups_blocking_name(function)) __builtin_trap();
  atomic_fetch_add(&unrolls, 1);
  unrolled = true;
  memset(frame, 0, sizeof frame);
  return frame;
}

const unsigned char *upstare_resume_begin(uint32_t *point, uint32_t *phase) {
  *point = 1;
  *phase = UPSTARE_AFTER;
  pthread_sigmask(SIG_SETMASK, &record.mask, NULL);
  return frame;
}

bool test_resume(long *result) {
  if (!unrolled) return false;
  volatile char clobber[2048]; /* what was on the stack is gone */
  memset((void *)clobber, 0x5a, sizeof clobber);
  unrolled = false;
  *result = ups_blocking_resume();
  return true;
}

/* ---- Threads that can be stopped, and who stops them ----------------------------------------------------------------- */

void test_register(void) {
  atomic_store(&record.tid, ups_gettid());
  seed = (unsigned)record.tid;
  ups_self = &record;
  for (unsigned i = 0; i < 64; i++) {
    struct ups_thread *none = NULL;
    if (atomic_compare_exchange_strong(&threads[i], &none, &record)) return;
  }
  __builtin_trap();
}

static pthread_mutex_t leaving = PTHREAD_MUTEX_INITIALIZER; /* a record in use by the stopper stays */

void test_unregister(void) {
  sigset_t before;
  block(&before);
  pthread_mutex_lock(&leaving);
  for (unsigned i = 0; i < 64; i++)
    if (threads[i] == &record) threads[i] = NULL;
  ups_self = NULL;
  pthread_mutex_unlock(&leaving);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct started {
  void *(*function)(void *);
  void *argument;
  _Atomic(bool) used;
};
static struct started beginnings[256];

static void leave(void *nothing) {
  (void)nothing;
  test_unregister();
}

static void *run(void *pointer) {
  struct started *slot = pointer, started = {slot->function, slot->argument, true};
  void *result;
  atomic_store(&slot->used, false);
  pthread_cleanup_push(leave, NULL);
  test_register();
  result = started.function(started.argument);
  pthread_cleanup_pop(1);
  return result;
}

__attribute__((visibility("default"))) int upstare_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                                                                  void *(*function)(void *), void *argument) {
  struct started *slot = beginnings;
  for (bool no = false; !atomic_compare_exchange_strong(&slot->used, &no, true); no = false) slot++;
  slot->function = function;
  slot->argument = argument;
  return pthread_create(thread, attributes, run, slot);
}

static void on_stop(int signal, siginfo_t *information, void *context) {
  (void)signal, (void)information;
  ups_blocking_set_stop(context);
}

static void *stopper(void *nothing) {
  unsigned random = 1;
  for (;;) {
    usleep(50 + (unsigned)rand_r(&random) % 400);
    pthread_mutex_lock(&leaving);
    for (unsigned i = 0; i < 64; i++) {
      struct ups_thread *thread = threads[i];
      if (!thread || rand_r(&random) % 2) continue;
      if (rand_r(&random) % 8) atomic_store(&thread->attention, UPS_ATTENTION_STOP);
      syscall(SYS_tgkill, getpid(), thread->tid, UPS_SIGNAL);
    }
    pthread_mutex_unlock(&leaving);
  }
  return nothing;
}

void test_start(const char *name) {
  struct sigaction action = {.sa_sigaction = on_stop, .sa_flags = SA_SIGINFO | SA_RESTART};
  pthread_t thread;
  pthread_attr_t attributes;
  sigset_t before;
  mode = !strcmp(name, "park") ? TEST_PARK : !strcmp(name, "unroll") ? TEST_UNROLL
         : !strcmp(name, "storm") ? TEST_STORM : TEST_QUIET;
  atomic_store(&ups_is_awake, mode != TEST_QUIET);
  if (mode != TEST_QUIET) ups_trap_install();
  /* With TEST_PARK every call is one that has begun before the runtime woke. */
  if (mode == TEST_UNROLL || mode == TEST_STORM) ups_issue = ups_call_issue_watched;
  if (mode == TEST_STORM) ups_storm_every = ups_quick_off = 1;
  sigfillset(&action.sa_mask);
  sigaction(UPS_SIGNAL, &action, NULL);
  test_register();
  if (mode != TEST_PARK && mode != TEST_UNROLL) return;
  block(&before);
  sigfillset(&action.sa_mask);
  pthread_sigmask(SIG_SETMASK, &action.sa_mask, NULL);
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_create(&thread, &attributes, stopper, NULL);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

uint64_t test_stops(void) { return atomic_load(&stops); }
uint64_t test_unrolls(void) { return atomic_load(&unrolls); }
