/*
 * pthread_mutex_lock, timedlock, clocklock.
 *
 * The mutex stays glibc's: it is taken by pthread_mutex_trylock, which knows about owners and recursion, and given back
 * by pthread_mutex_unlock. Only the sleep is ours, on the word that glibc itself sleeps on. Mutexes that inherit or
 * protect priority (the kernel keeps their waiters) and elided ones are left to glibc altogether; a thread that waits
 * for one of them waits in a library call.
 */
#include "call.h"

#include <linux/futex.h>

#include "quiet.h"

UPS_EXPORT __typeof__(pthread_mutex_lock) upstare_pthread_mutex_lock;
UPS_EXPORT __typeof__(pthread_mutex_timedlock) upstare_pthread_mutex_timedlock;
UPS_EXPORT __typeof__(pthread_mutex_clocklock) upstare_pthread_mutex_clocklock;

/* Bits of pthread_mutex_t.__data.__kind (glibc, pthreadP.h). */
enum {
  KIND_TYPE = 3,
  KIND_ROBUST = 16,
  KIND_PRIO_INHERIT = 32,
  KIND_PRIO_PROTECT = 64,
  KIND_SHARED = 128,
  KIND_ELISION = 256,
  KIND_FOREIGN = KIND_PRIO_INHERIT | KIND_PRIO_PROTECT | KIND_ELISION
};

#define ROBUST_SLEEP_S 1 /* at most at a time */

static int try_lock(void *mutex) { return pthread_mutex_trylock(mutex); }

/* Whether glibc has to do the waiting. To wait for a robust mutex is so seldom that it sleeps, too; who cannot wake it
 * will not be updated, either. */
static UPS_COLD bool is_glibcs(const pthread_mutex_t *mutex) {
  int kind = mutex->__data.__kind;
  return (kind & KIND_FOREIGN) || ((kind & KIND_ROBUST) && !ups_wake());
}

/* What the slow path has to say before it waits: 0, or an error number. */
static int refuse(const struct ups_call *call, const pthread_mutex_t *mutex) {
  if (call->timed && !ups_time_valid(&call->until))
    return EINVAL;
  if ((mutex->__data.__kind & KIND_TYPE) == PTHREAD_MUTEX_ERRORCHECK && mutex->__data.__owner == ups_gettid())
    return EDEADLK;
  return 0;
}

/* Sleeps while the word is `value`, for a while at most: -ETIMEDOUT only when the call's own time is over. */
static long robust_sleep(struct ups_call *call, const int *word, int value) {
  clockid_t clock = call->timed ? call->clock : CLOCK_MONOTONIC;
  struct timespec until = ups_time_after(clock, (struct timespec){ROBUST_SLEEP_S, 0});
  bool last = call->timed && (call->until.tv_sec < until.tv_sec ||
                              (call->until.tv_sec == until.tv_sec && call->until.tv_nsec <= until.tv_nsec));
  if (last)
    until = call->until;
  if (until.tv_sec < 0)
    return -ETIMEDOUT; /* the kernel would call it invalid */
  long result = ups_call_issue(call, SYS_futex, (long)word,
                               FUTEX_WAIT_BITSET | (clock == CLOCK_REALTIME ? FUTEX_CLOCK_REALTIME : 0), value,
                               (long)&until, 0, (long)FUTEX_BITSET_MATCH_ANY);
  return result == -ETIMEDOUT && !last ? 0 : result;
}

/*
 * A robust mutex: the word holds the owner's number, FUTEX_WAITERS if somebody sleeps, and FUTEX_OWNER_DIED if nobody
 * has taken it over from one that died. One who has slept leaves FUTEX_WAITERS behind, as in ups_word_lock. One who dies
 * between being woken and that, forgets the next sleeper (glibc's own sleepers are known to the kernel, ours are not):
 * therefore nobody sleeps long. Always between processes, because the kernel wakes it that way when an owner dies.
 */
static UPS_ASLEEP long robust_lock(struct ups_call *call, pthread_mutex_t *mutex) {
  int *word = &mutex->__data.__lock;
  for (;;) {
    int error = pthread_mutex_trylock(mutex);
    if (call->contended && (error == 0 || error == EOWNERDEAD))
      __atomic_fetch_or(word, (int)FUTEX_WAITERS, __ATOMIC_RELAXED); /* ours; published by the unlock */
    if (call->contended && error == ENOTRECOVERABLE)
      ups_word_wake(word, INT_MAX, true);
    if (error != EBUSY)
      return -error;
    int value = __atomic_load_n(word, __ATOMIC_RELAXED);
    if (value == 0 || ((unsigned)value & FUTEX_OWNER_DIED))
      continue;
    int waited = (int)((unsigned)value | FUTEX_WAITERS);
    if (value != waited &&
        !__atomic_compare_exchange_n(word, &value, waited, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
      continue;
    call->contended = 1;
    long result = robust_sleep(call, word, waited);
    if (result == -ETIMEDOUT || result == UPS_CP_UNROLLED)
      return result;
  }
}

static UPS_COLD long lock_for(struct ups_call *call, pthread_mutex_t *mutex) {
  int kind = mutex->__data.__kind;
  if (!call->contended) {
    int error = pthread_mutex_trylock(mutex);
    if (error == EBUSY)
      error = refuse(call, mutex);
    else
      return -error;
    if (error)
      return -error;
  }
  if (kind & KIND_ROBUST) /* is_glibcs has woken it */
    return robust_lock(call, mutex);
  return ups_word_lock(call, &mutex->__data.__lock, kind & KIND_SHARED, try_lock, mutex);
}

UPS_COLD long ups_mutex_lock_again(struct ups_call *call, pthread_mutex_t *mutex) {
  return is_glibcs(mutex) ? -pthread_mutex_lock(mutex) : lock_for(call, mutex);
}

static UPS_COLD long run_mutex_lock(struct ups_call *call) {
  long result = lock_for(call, (pthread_mutex_t *)call->argument[0]);
  return result == UPS_CP_UNROLLED ? 0 : -result;
}

const struct ups_operation ups_op_mutex_lock = {"pthread_mutex_lock", run_mutex_lock, UPS_OP_MUTEX_LOCK, 1, false};

static UPS_COLD int lock(pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until) {
  return ups_call_wait(&ups_op_mutex_lock, (long)mutex, 0, clock, until);
}

static UPS_COLD int lock_slowly(pthread_mutex_t *mutex) {
  return is_glibcs(mutex) ? pthread_mutex_lock(mutex) : lock(mutex, 0, NULL);
}

/* Tools that check the use of locks see them in calls of pthread_mutex_trylock: ThreadSanitizer, helgrind, drd. */
enum { UNKNOWN, WATCHED, UNWATCHED };
static _Atomic(int) watchers;

extern void __tsan_init(void) __attribute__((weak));

static UPS_COLD void find_watchers(void) {
  const char *preloaded = ups_preloaded;
  bool found = __tsan_init || (preloaded && (strstr(preloaded, "helgrind") || strstr(preloaded, "vgpreload_drd")));
  atomic_store_explicit(&watchers, found ? WATCHED : UNWATCHED, memory_order_relaxed);
}

/* Takes a free mutex of the plain kind just as glibc does: the layout is fixed by its static initialisers. */
static inline bool take_free(pthread_mutex_t *mutex) {
  struct ups_thread *self = ups_self;
  int none = 0;
  if (atomic_load_explicit(&watchers, memory_order_relaxed) != UNWATCHED || !self ||
      mutex->__data.__kind != PTHREAD_MUTEX_TIMED_NP ||
      !__atomic_compare_exchange_n(&mutex->__data.__lock, &none, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
    return false;
  mutex->__data.__owner = atomic_load_explicit(&self->tid, memory_order_relaxed);
  mutex->__data.__nusers++;
  return true;
}

/* What is not plain and free, perhaps because nothing is known of it yet. */
static __attribute__((noinline)) int lock_other(pthread_mutex_t *mutex) {
  if (__builtin_expect(atomic_load_explicit(&watchers, memory_order_relaxed) == UNKNOWN, 0) && ups_self)
    find_watchers(); /* not before main: what was preloaded is not known there */
  int error = pthread_mutex_trylock(mutex);
  return __builtin_expect(error != EBUSY, 1) ? error : lock_slowly(mutex);
}

/* A free mutex is taken at once; that is no wait, and nearly every call. */
int upstare_pthread_mutex_lock(pthread_mutex_t *mutex) {
  if (__builtin_expect(!ups_call_quiet(), 0))
    return lock_slowly(mutex);
  return __builtin_expect(take_free(mutex), 1) ? 0 : lock_other(mutex);
}

/* Whether there is nothing to wait for; then `error` is the answer. */
static UPS_COLD bool at_once(pthread_mutex_t *mutex, int *error) {
  if (!ups_call_quiet())
    return false;
  *error = pthread_mutex_trylock(mutex);
  return *error != EBUSY;
}

int upstare_pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
  int error;
  if (at_once(mutex, &error))
    return error;
  return is_glibcs(mutex) ? pthread_mutex_timedlock(mutex, until) : lock(mutex, CLOCK_REALTIME, until);
}

int upstare_pthread_mutex_clocklock(pthread_mutex_t *restrict mutex, clockid_t clock,
                                    const struct timespec *restrict until) {
  int error;
  if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
    return EINVAL;
  if (at_once(mutex, &error))
    return error;
  return is_glibcs(mutex) ? pthread_mutex_clocklock(mutex, clock, until) : lock(mutex, clock, until);
}
