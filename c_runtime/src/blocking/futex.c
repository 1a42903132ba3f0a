/*
 * Waiting for a word of memory.
 */
#include "call.h"

#include <linux/futex.h>

#include "direct.h"

long ups_word_wait(struct ups_call *call, const volatile void *word, uint32_t value, bool shared) {
  int operation = FUTEX_WAIT_BITSET;
  if (!shared)
    operation |= FUTEX_PRIVATE_FLAG;
  if (call->timed) {
    if (call->until.tv_sec < 0)
      return -ETIMEDOUT; /* the kernel would call it invalid */
    if (call->clock == CLOCK_REALTIME)
      operation |= FUTEX_CLOCK_REALTIME;
  }
  return ups_call_issue(call, SYS_futex, (long)word, operation, (long)value, call->timed ? (long)&call->until : 0, 0,
                        (long)FUTEX_BITSET_MATCH_ANY);
}

void ups_word_wake(const volatile void *word, int count, bool shared) {
  ups_direct(SYS_futex, (long)word, FUTEX_WAKE | (shared ? 0 : FUTEX_PRIVATE_FLAG), count, 0);
}

/*
 * Nobody who is asleep on the word may be forgotten. A sleeper has first made the word 2, and whoever gives back a word
 * that is 2 wakes one sleeper. `try_lock` leaves a 1, so one who has slept, and may have been woken in place of the
 * next, makes it a 2 again before giving it back. `contended` goes into the frame: one who was taken apart after being
 * woken does the same when resumed.
 */
long ups_word_lock(struct ups_call *call, int *word, bool shared, int (*try_lock)(void *), void *lock) {
  for (;;) {
    int error = try_lock(lock);
    if (error == 0 && call->contended)
      __atomic_store_n(word, 2, __ATOMIC_RELAXED); /* ours; published by the unlock */
    if (error != EBUSY)
      return -error;
    int value = 1;
    if (!__atomic_compare_exchange_n(word, &value, 2, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED) && value == 0)
      continue;
    call->contended = 1;
    long result = ups_word_wait(call, word, 2, shared);
    if (result == -ETIMEDOUT || result == UPS_CP_UNROLLED)
      return result;
  }
}
