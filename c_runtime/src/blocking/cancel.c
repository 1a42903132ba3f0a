/*
 * pthread_cancel. The system calls of the region are cancellation points as those of libc are: cancellation is made
 * asynchronous around them. That costs two atomic operations a call, so it is done only once the program has cancelled
 * a thread. The one that is then already asleep in the region is called out of it as for a stop, and comes back.
 */
#include "call.h"

#include <stdatomic.h>
#include <unistd.h>

#include "../runtime.h"
#include "thread_id.h"

volatile uint32_t ups_cancel_used;

UPS_EXPORT __typeof__(pthread_cancel) upstare_pthread_cancel;

int upstare_pthread_cancel(pthread_t thread) {
  ups_quick_off = 1;
  __atomic_store_n(&ups_cancel_used, 1, __ATOMIC_SEQ_CST); /* before the look at the attention word in the region */
  int error = pthread_cancel(thread);
  const volatile int *word = ups_thread_id_word(thread);
  int tid = error || !word ? 0 : *word;
  if (tid == 0)
    return error;
  struct ups_thread *other = ups_thread_find(tid);
  if (other && other != ups_self) {
    int saved = errno;
    atomic_fetch_or(&other->attention, UPS_ATTENTION_CANCEL);
    syscall(SYS_tgkill, getpid(), tid, UPS_SIGNAL);
    errno = saved;
  }
  return error;
}
