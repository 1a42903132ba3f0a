/*
 * pthread_join and its timed forms.
 *
 * The wait is for the word that the kernel clears when a thread ends, which is what glibc's own pthread_join waits for:
 * it holds for every thread, however it ends and whoever made it. The checks (detached, joined by another, itself) and
 * the joining are glibc's: by a join that is timed out already, and by a join of a thread that has ended.
 */
#include "call.h"
#include "thread_id.h"

#include "direct.h"

/* glibc keeps it there on x86-64 since long; believed only where it is found to hold this thread's id. */
#define TID_OFFSET 720

const volatile int *ups_thread_id_word(pthread_t thread) {
  const volatile int *mine = (const volatile int *)((const char *)pthread_self() + TID_OFFSET);
  return *mine == (int)ups_direct_plain(SYS_gettid) ? (const volatile int *)((const char *)thread + TID_OFFSET) : NULL;
}

static long run_join(struct ups_call *call) {
  pthread_t thread = (pthread_t)call->argument[0];
  void **result = (void **)call->argument[1];
  const struct timespec over = {0, 0};
  int error = pthread_timedjoin_np(thread, result, &over);
  if (error != ETIMEDOUT)
    return error;
  if (call->timed && !ups_time_valid(&call->until))
    return EINVAL;
  const volatile int *word = ups_thread_id_word(thread);
  if (!word && call->timed)
    return pthread_clockjoin_np(thread, result, call->clock, &call->until);
  int tid;
  while (word && (tid = __atomic_load_n(word, __ATOMIC_ACQUIRE)) > 0) {
    long status = ups_word_wait(call, word, (uint32_t)tid, true); /* the kernel wakes as for a shared word */
    if (status == UPS_CP_UNROLLED)
      return 0;
    if (status == -ETIMEDOUT)
      return ETIMEDOUT;
  }
  return pthread_join(thread, result);
}

const struct ups_operation ups_op_join = {"pthread_join", run_join, UPS_OP_JOIN, 2, true};

static int join(pthread_t thread, void **result, clockid_t clock, const struct timespec *until) {
  return ups_call_wait(&ups_op_join, (long)thread, (long)result, clock, until);
}

UPS_EXPORT __typeof__(pthread_join) upstare_pthread_join;
UPS_EXPORT __typeof__(pthread_timedjoin_np) upstare_pthread_timedjoin_np;
UPS_EXPORT __typeof__(pthread_clockjoin_np) upstare_pthread_clockjoin_np;

int upstare_pthread_join(pthread_t thread, void **result) { return join(thread, result, 0, NULL); }

int upstare_pthread_timedjoin_np(pthread_t thread, void **result, const struct timespec *until) {
  return join(thread, result, CLOCK_REALTIME, until);
}

int upstare_pthread_clockjoin_np(pthread_t thread, void **result, clockid_t clock, const struct timespec *until) {
  if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
    return EINVAL;
  return join(thread, result, clock, until);
}
