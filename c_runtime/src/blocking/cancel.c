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

UPS_EXPORT __typeof__(pthread_cancel) upstare_pthread_cancel;

static long issue(const struct ups_cp *cp, long number, long a, long b, long c, long d, long e, long f) {
  int type;
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type); /* acts on a pending one */
  long result = ups_cp_syscall(cp, number, a, b, c, d, e, f);
  pthread_setcanceltype(type, NULL);
  return result;
}

static long around(int type, long (*wait)(void *), void (*clean)(void *), void *argument) {
  long result;
  pthread_cleanup_push(clean, argument);
  pthread_setcanceltype(type, &type);
  result = wait(argument);
  pthread_setcanceltype(type, NULL);
  pthread_cleanup_pop(0);
  return result;
}

static const struct ups_cancellable cancellable = {issue, around};

/* Nothing of the runtime will ever be awake: the thread is only to come out of the region, and calls the C library. */
static void call_out(int number, siginfo_t *information, void *context) {
  (void)number, (void)information;
  ups_blocking_set_stop(context);
}

/* What calls are described by is asleep until the program first cancels a thread. */
static void wake(void) {
  sigset_t mask;
  ups_signals_block(&mask);
  if (!ups_wake()) {
    struct sigaction action = {.sa_sigaction = call_out, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    ups_signals_all(&action.sa_mask);
    sigaction(UPS_SIGNAL, &action, NULL);
  }
  ups_signals_restore(&mask);
}

int upstare_pthread_cancel(pthread_t thread) {
  if (!ups_awake())
    wake();
  ups_quick_off = 1;
  ups_issue = ups_call_issue_watched;
  __atomic_store_n(&ups_cancel, &cancellable, __ATOMIC_SEQ_CST); /* before the look at the attention word in the region */
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
