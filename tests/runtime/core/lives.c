/* Forks, ends of threads, signals, deep and small stacks: each by its name, prints what it found and "done". */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "notes.h"

int upstare_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

#define FRAME_00000000000d0001 128
#define FRAME_00000000000d0002 64
#define FRAME_00000000000d0003 64

static volatile sig_atomic_t handled;
static long checks, cell;
static __thread long own;

/* 00000000000d0001 descend */
NOINLINE static long descend(long depth, long *outer) {
  long kept[6] = {depth, 1, 2, 3, 4, 5};
  long r;
  if (depth == 0) {
    *outer += 1;
    return 1;
  }
  r = descend(depth - 1, kept);
  POINT(00000000000d0001, 1, 1, 4, V(0, 0, 8) V(1, 8, 8) V(2, 16, 8) O(3, 32, 48),
        SAVE(0, depth) SAVE(8, outer) SAVE(16, r) KEEP(32, kept, 48),
        "nor"(depth), "nor"(outer), "nor"(r), "m"(kept));
  outer[0] += 1;
  return r + kept[0] - depth + kept[5] - 5;
  DUMMY(long)
}

RESUME(long, 00000000000d0001) {
  long depth, *outer, r, *kept;
  BEGIN
  LOAD(depth, 0); LOAD(outer, 8); LOAD(r, 16); LOAD(kept, 32);
  if (upstare_phase == UPSTARE_IN_CALL) {
    r = CALLEE(long);
    POINT(00000000000d0001, 1, 1, 4, V(0, 0, 8) V(1, 8, 8) V(2, 16, 8) P(3, 32, 48),
          SAVE(0, depth) SAVE(8, outer) SAVE(16, r) KEEP(32, kept, 48),
          "nor"(depth), "nor"(outer), "nor"(r), "nor"(kept));
  }
  outer[0] += 1;
  return r + kept[0] - depth + kept[5] - 5;
  DUMMY(long)
}

/* 00000000000d0002 work: the function of a thread */
NOINLINE static void *work(void *argument) {
  long how = (long)argument, i, r, sum = 0;
  for (i = 0; i < 50; i++) {
    r = descend(i % 7, &own);
    POINT(00000000000d0002, 1, 1, 4, V(0, 0, 8) V(1, 8, 8) V(2, 16, 8) V(3, 24, 8),
          SAVE(0, how) SAVE(8, i) SAVE(16, r) SAVE(24, sum), "nor"(how), "nor"(i), "nor"(r), "nor"(sum));
    sum += r;
  }
  if (how == 1) pthread_exit((void *)(sum + 1000));
  if (how == 2) {
    pthread_testcancel();
    for (;;) pause();
  }
  return (void *)sum;
  DUMMY(void *)
}

RESUME(void *, 00000000000d0002) {
  long how, i, r, sum;
  BEGIN
  LOAD(how, 0); LOAD(i, 8); LOAD(r, 16); LOAD(sum, 24);
  if (upstare_phase == UPSTARE_AFTER) goto after;
  r = CALLEE(long);
  goto point;
  for (; i < 50; i++) {
    r = descend(i % 7, &own);
  point:
    POINT(00000000000d0002, 1, 1, 4, V(0, 0, 8) V(1, 8, 8) V(2, 16, 8) V(3, 24, 8),
          SAVE(0, how) SAVE(8, i) SAVE(16, r) SAVE(24, sum), "nor"(how), "nor"(i), "nor"(r), "nor"(sum));
  after:
    sum += r;
  }
  if (how == 1) pthread_exit((void *)(sum + 1000));
  if (how == 2) {
    pthread_testcancel();
    for (;;) pause();
  }
  return (void *)sum;
  DUMMY(void *)
}

static void on_alarm(int signal) {
  long cell = 0;
  int error = errno;
  (void)signal;
  if (descend(2, &cell) == 1 && cell == 1) handled++;
  errno = error;
}

static char stack_memory[65536];

static void *small(void *argument) {
  return work(argument);
}

static void run_thread(long how, size_t size) {
  pthread_attr_t attributes;
  pthread_t thread;
  void *result = NULL;
  pthread_attr_init(&attributes);
  if (size) pthread_attr_setstacksize(&attributes, size);
  if (upstare_pthread_create(&thread, &attributes, size ? small : work, (void *)how) != 0) printf("no thread\n");
  if (how == 2) pthread_cancel(thread);
  pthread_join(thread, &result);
  printf("thread %ld\n", (long)result);
}

static void begin(const char *what) {
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
  struct itimerval often = {{0, 500}, {0, 500}};
  if (strcmp(what, "altstack") == 0) {
    stack_t alternate = {.ss_sp = stack_memory, .ss_size = sizeof stack_memory};
    sigaltstack(&alternate, NULL);
    action.sa_flags |= SA_ONSTACK;
  }
  if (strcmp(what, "signals") == 0 || strcmp(what, "altstack") == 0) {
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
  }
}

static void finish(const char *what) {
  stack_t now;
  if (strcmp(what, "fork") == 0) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
      long cell = 0;
      run_thread(0, 0);
      long r = descend(9, &cell);
      printf("child %ld %ld\n", r, cell);
      fflush(stdout);
      _exit(7);
    }
    int status;
    waitpid(child, &status, 0);
    printf("child ended %d\n", WEXITSTATUS(status));
  }
  if (strcmp(what, "vfork") == 0) {
    pid_t child = vfork();
    if (child == 0) {
      long cell = 0;
      _exit((int)descend(5, &cell));
    }
    int status;
    waitpid(child, &status, 0);
    printf("child ended %d\n", WEXITSTATUS(status));
  }
  if (strcmp(what, "exit") == 0) {
    for (int i = 0; i < 20; i++) run_thread(i & 1, 0);
  }
  if (strcmp(what, "cancel") == 0) {
    for (int i = 0; i < 5; i++) run_thread(2, 0);
  }
  if (strcmp(what, "small") == 0) {
    for (int i = 0; i < 5; i++) run_thread(0, 65536);
  }
  if (strcmp(what, "altstack") == 0) {
    sigaltstack(NULL, &now);
    printf("alternate stack %d\n", now.ss_sp == (void *)stack_memory && now.ss_size == sizeof stack_memory);
  }
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, NULL, &mask);
  printf("blocked %d %d\n", sigismember(&mask, SIGALRM), sigismember(&mask, SIGTERM));
}

/* 00000000000d0003 main */
int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  long i, r, depth = strcmp(what, "deep") == 0 ? 30000 : 20;
  begin(what);
  for (i = 0; i < (depth > 1000 ? 2 : 300); i++) {
    r = descend(i % 2 ? 3 : depth, &cell);
    POINT(00000000000d0003, 1, 1, 4, V(0, 0, 8) V(1, 8, 8) V(2, 16, 8) V(3, 24, 8),
          SAVE(0, what) SAVE(8, i) SAVE(16, r) SAVE(24, depth), "nor"(what), "nor"(i), "nor"(r), "nor"(depth));
    if (r == 1) checks++;
  }
  printf("%ld %ld\n", checks, cell);
  finish(what);
  printf("done\n");
  return 4;
  DUMMY(int)
}

RESUME(int, 00000000000d0003) {
  const char *what;
  long i, r, depth;
  BEGIN
  LOAD(what, 0); LOAD(i, 8); LOAD(r, 16); LOAD(depth, 24);
  if (upstare_phase == UPSTARE_AFTER) goto after;
  r = CALLEE(long);
  goto point;
  for (; i < (depth > 1000 ? 2 : 300); i++) {
    r = descend(i % 2 ? 3 : depth, &cell);
  point:
    POINT(00000000000d0003, 1, 1, 4, V(0, 0, 8) V(1, 8, 8) V(2, 16, 8) V(3, 24, 8),
          SAVE(0, what) SAVE(8, i) SAVE(16, r) SAVE(24, depth), "nor"(what), "nor"(i), "nor"(r), "nor"(depth));
  after:
    if (r == 1) checks++;
  }
  printf("%ld %ld\n", checks, cell);
  finish(what);
  printf("done\n");
  return 4;
  DUMMY(int)
}
