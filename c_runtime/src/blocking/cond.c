/*
 * Condition variables of our own, in the storage of pthread_cond_t.
 *
 * glibc's waiters belong to groups that a thread cannot leave for a while and come back to; so all operations on a
 * condition variable are these. (A variable that is also waited for or signalled inside a library cannot be used so.)
 * All zeros is PTHREAD_COND_INITIALIZER, and the attributes are where glibc's pthread_cond_init puts them.
 *
 * `sequence` counts signals; a waiter sleeps as long as it is what it was when the waiter, holding the mutex, arrived.
 * A waiter that a stop takes apart remembers it in its frame and stays counted in `waiters`, so a signal that is given
 * meanwhile moves the sequence and is found when the frame is resumed. No signal is lost by that; some waiter may wake
 * without one, as any waiter may.
 *
 * States of a wait: 0 not yet begun; 1 mutex given back, waiting; 2 woken or timed out (`progress` holds the result),
 * taking the mutex again.
 */
#include "call.h"

#include <stdatomic.h>

struct condition {
  _Atomic(uint32_t) sequence;
  _Atomic(uint32_t) waiters; /* twice their number; bit 0: somebody waits in destroy for them to leave */
};

enum { ONE_WAITER = 2, DESTROYING = 1 };
enum { SHARED = 1, MONOTONIC = 2 }; /* bits of pthread_cond_t.__data.__wrefs (glibc) */
enum { FRESH = 0, WAITING = 1, WOKEN = 2 };

UPS_EXPORT __typeof__(pthread_cond_init) upstare_pthread_cond_init;
UPS_EXPORT __typeof__(pthread_cond_destroy) upstare_pthread_cond_destroy;
UPS_EXPORT __typeof__(pthread_cond_wait) upstare_pthread_cond_wait;
UPS_EXPORT __typeof__(pthread_cond_timedwait) upstare_pthread_cond_timedwait;
UPS_EXPORT __typeof__(pthread_cond_clockwait) upstare_pthread_cond_clockwait;
UPS_EXPORT __typeof__(pthread_cond_signal) upstare_pthread_cond_signal;
UPS_EXPORT __typeof__(pthread_cond_broadcast) upstare_pthread_cond_broadcast;

_Static_assert(sizeof(struct condition) <= offsetof(pthread_cond_t, __data.__wrefs), "the attributes stay glibc's");

static struct condition *of(pthread_cond_t *storage) { return (struct condition *)storage; }

static bool is_shared(const pthread_cond_t *storage) { return storage->__data.__wrefs & SHARED; }

/* Nothing may touch the variable after this: it may be destroyed, and its memory be given back. */
static void leave(struct condition *condition, bool shared) {
  if (atomic_fetch_sub(&condition->waiters, ONE_WAITER) == (ONE_WAITER | DESTROYING))
    ups_word_wake(&condition->waiters, INT_MAX, shared);
}

/* Waits for a signal: 0, -ETIMEDOUT, UPS_CP_UNROLLED; or UPS_CP_STOPPED, to be done again. */
static long await_signal(struct ups_call *call, struct condition *condition, bool shared) {
  uint32_t arrived = (uint32_t)call->part;
  for (;;) {
    if (atomic_load(&condition->sequence) != arrived)
      return 0;
    long result = ups_word_wait(call, &condition->sequence, arrived, shared);
    if (result == 0) {
      /* Woken, but by a signal from before we came (a waiter of higher priority overtakes): it was for another. */
      if (atomic_load(&condition->sequence) == arrived)
        ups_word_wake(&condition->sequence, 1, shared);
      return 0;
    }
    if (result != -EAGAIN && result != -EINTR)
      return result;
  }
}

static pthread_cond_t *storage_of(const struct ups_call *call) { return (pthread_cond_t *)call->argument[0]; }

static pthread_mutex_t *mutex_of(const struct ups_call *call) { return (pthread_mutex_t *)call->argument[1]; }

/* The thread was cancelled in its wait: a signal that it took goes to another, and its handlers run with the mutex. */
static void on_cancel(void *argument) {
  const struct ups_call *call = argument;
  struct condition *condition = of(storage_of(call));
  bool shared = is_shared(storage_of(call));
  if (atomic_load(&condition->sequence) != (uint32_t)call->part)
    ups_word_wake(&condition->sequence, 1, shared);
  leave(condition, shared);
  pthread_mutex_lock(mutex_of(call));
}

static long await_waiter(void *argument) {
  struct ups_call *call = argument;
  return await_signal(call, of(storage_of(call)), is_shared(storage_of(call)));
}

static long run_cond_wait(struct ups_call *call) {
  struct condition *condition = of(storage_of(call));
  if (call->state == FRESH) {
    atomic_fetch_add(&condition->waiters, ONE_WAITER);
    call->part = atomic_load(&condition->sequence);
    int error = pthread_mutex_unlock(mutex_of(call));
    if (error) {
      leave(condition, is_shared(storage_of(call)));
      return error;
    }
    call->state = WAITING;
  }
  if (call->state == WAITING) {
    bool shared = is_shared(storage_of(call));
    long result;
    do { /* the program's first use of cancellation is such a stop */
      const struct ups_cancellable *cancel = ups_cancel;
      result = cancel ? cancel->around(PTHREAD_CANCEL_ASYNCHRONOUS, await_waiter, on_cancel, call) : await_waiter(call);
    } while (result == UPS_CP_STOPPED);
    if (result == UPS_CP_UNROLLED)
      return 0;
    leave(condition, shared);
    call->progress = (uint64_t)-result;
    call->timed = 0; /* the mutex is waited for without limit */
    call->state = WOKEN;
  }
  long result = ups_mutex_lock_again(call, mutex_of(call));
  if (result == UPS_CP_UNROLLED)
    return 0;
  return result ? -result : (long)call->progress;
}

const struct ups_operation ups_op_cond_wait = {"pthread_cond_wait", run_cond_wait, UPS_OP_COND_WAIT, 2, false};

static int wait(pthread_cond_t *storage, pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until) {
  if (until && !ups_time_valid(until))
    return EINVAL;
  return ups_call_wait(&ups_op_cond_wait, (long)storage, (long)mutex, clock, until);
}

int upstare_pthread_cond_wait(pthread_cond_t *restrict storage, pthread_mutex_t *restrict mutex) {
  return wait(storage, mutex, 0, NULL);
}

int upstare_pthread_cond_timedwait(pthread_cond_t *restrict storage, pthread_mutex_t *restrict mutex,
                                   const struct timespec *restrict until) {
  return wait(storage, mutex, storage->__data.__wrefs & MONOTONIC ? CLOCK_MONOTONIC : CLOCK_REALTIME, until);
}

int upstare_pthread_cond_clockwait(pthread_cond_t *restrict storage, pthread_mutex_t *restrict mutex, clockid_t clock,
                                   const struct timespec *restrict until) {
  if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
    return EINVAL;
  return wait(storage, mutex, clock, until);
}

/* A waiter is counted before it gives the mutex back: who changes what it waits for under the mutex sees it here. */
static int wake(pthread_cond_t *storage, int count) {
  struct condition *condition = of(storage);
  if (atomic_load(&condition->waiters) == 0)
    return 0;
  bool shared = is_shared(storage);
  atomic_fetch_add(&condition->sequence, 1);
  ups_word_wake(&condition->sequence, count, shared);
  return 0;
}

int upstare_pthread_cond_signal(pthread_cond_t *storage) { return wake(storage, 1); }

int upstare_pthread_cond_broadcast(pthread_cond_t *storage) { return wake(storage, INT_MAX); }

int upstare_pthread_cond_init(pthread_cond_t *restrict storage, const pthread_condattr_t *restrict attributes) {
  return pthread_cond_init(storage, attributes);
}

/* Waits for waiters that were woken and have not left yet. Interruptible, as one of them may be stopped in between. */
static long run_cond_destroy(struct ups_call *call) {
  pthread_cond_t *storage = (pthread_cond_t *)call->argument[0];
  struct condition *condition = of(storage);
  bool shared = is_shared(storage);
  uint32_t waiters = atomic_fetch_or(&condition->waiters, DESTROYING) | DESTROYING;
  while (waiters != DESTROYING) {
    if (ups_word_wait(call, &condition->waiters, waiters, shared) == UPS_CP_UNROLLED)
      return 0;
    waiters = atomic_load(&condition->waiters);
  }
  atomic_store(&condition->waiters, 0); /* as after glibc's, it could be used again */
  return 0;
}

const struct ups_operation ups_op_cond_destroy = {"pthread_cond_destroy", run_cond_destroy, UPS_OP_COND_DESTROY, 1,
                                                  false};

int upstare_pthread_cond_destroy(pthread_cond_t *storage) {
  return ups_call_wait(&ups_op_cond_destroy, (long)storage, 0, 0, NULL);
}
