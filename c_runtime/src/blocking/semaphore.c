/*
 * sem_wait, sem_timedwait, sem_clockwait.
 *
 * The semaphore stays glibc's (64-bit form): the value in the low half of a word, the number of those who wait in the
 * high half, so that sem_post knows whether to wake. A waiter that a stop takes apart is not counted meanwhile; what is
 * posted then it finds in the value.
 */
#include "call.h"
#include "quiet.h"

#include <semaphore.h>
#include <stdatomic.h>

UPS_EXPORT __typeof__(sem_wait) upstare_sem_wait;
UPS_EXPORT __typeof__(sem_timedwait) upstare_sem_timedwait;
UPS_EXPORT __typeof__(sem_clockwait) upstare_sem_clockwait;

struct semaphore { /* glibc's struct new_sem */
  _Atomic(uint64_t) data;
  int shared; /* 0, or 128: between processes */
};

#define ONE_WAITER (1ull << 32)

_Static_assert(sizeof(struct semaphore) <= sizeof(sem_t) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "layout of sem_t");

static bool try_wait(struct semaphore *semaphore) {
  uint64_t data = atomic_load_explicit(&semaphore->data, memory_order_relaxed);
  while ((uint32_t)data)
    if (atomic_compare_exchange_weak_explicit(&semaphore->data, &data, data - 1, memory_order_acquire,
                                              memory_order_relaxed))
      return true;
  return false;
}

struct waiter {
  struct ups_call *call;
  struct semaphore *semaphore;
};

static UPS_COLD void leave(void *argument) {
  atomic_fetch_sub(&((struct waiter *)argument)->semaphore->data, ONE_WAITER);
}

static UPS_COLD long await_post(void *argument) {
  struct waiter *waiter = argument;
  return ups_word_wait(waiter->call, waiter->semaphore, 0, waiter->semaphore->shared);
}

/* One sleep, counted as a waiter. */
static UPS_COLD long sleep_counted(struct ups_call *call, struct semaphore *semaphore) {
  struct waiter waiter = {call, semaphore};
  const struct ups_cancellable *cancel = ups_cancel;
  atomic_fetch_add(&semaphore->data, ONE_WAITER);
  long result = cancel ? cancel->around(PTHREAD_CANCEL_DEFERRED, await_post, leave, &waiter) : await_post(&waiter);
  leave(&waiter);
  return result;
}

static UPS_COLD long run_sem_wait(struct ups_call *call) {
  struct semaphore *semaphore = (struct semaphore *)call->argument[0];
  for (;;) {
    if (try_wait(semaphore))
      return 0;
    if (call->timed && !ups_time_valid(&call->until))
      return ups_call_return(-EINVAL);
    long result = sleep_counted(call, semaphore);
    if (result == -EINTR || result == -ETIMEDOUT || result == UPS_CP_UNROLLED)
      return ups_call_return(result);
  }
}

const struct ups_operation ups_op_sem_wait = {"sem_wait", run_sem_wait, UPS_OP_SEM_WAIT, 1, true};

static UPS_COLD int wait(sem_t *semaphore, clockid_t clock, const struct timespec *until) {
  struct ups_call call;
  /* With a limit the kernel answers EINTR after any handler, without one it minds SA_RESTART. */
  ups_call_begin(&call, &ups_op_sem_wait, until ? UPS_INTERRUPTS : UPS_RESTARTS);
  call.argument[0] = (long)semaphore;
  if (until) {
    call.timed = 1;
    call.clock = clock;
    call.until = *until;
  }
  return (int)ups_call_run(&call);
}

int upstare_sem_wait(sem_t *semaphore) {
  bool cancelled = ups_cancel != NULL; /* then even a wait that need not wait may end the thread */
  if (__builtin_expect(ups_call_quiet() && !cancelled, 1) && try_wait((struct semaphore *)semaphore))
    return 0;
  return wait(semaphore, 0, NULL);
}

int upstare_sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until) {
  return wait(semaphore, CLOCK_REALTIME, until);
}

int upstare_sem_clockwait(sem_t *restrict semaphore, clockid_t clock, const struct timespec *restrict until) {
  if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
    return (int)ups_call_return(-EINVAL);
  return wait(semaphore, clock, until);
}
