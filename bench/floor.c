/*
 * The floor under every update that stops threads by signals: nothing but the signals.
 *
 *     floor THREADS ROUNDS
 *
 * The threads block in recv. In each round all get a signal and wait until the last one has come, then go on. Prints a
 * line for each round: microseconds from the first signal to all stopped, and from the release to all running again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static atomic_int parked, running, round_number;
static int count;
static pid_t *ids;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + 1e-3 * (double)t.tv_nsec;
}

static void futex_wait(atomic_int *word, int value) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(atomic_int *word, int n) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

/* Counts up; wakes the main thread when all have. */
static void arrive(atomic_int *word) {
  if (atomic_fetch_add(word, 1) + 1 == count)
    futex_wake(word, 1);
}

static void await(atomic_int *word) {
  int n;
  while ((n = atomic_load(word)) < count)
    futex_wait(word, n);
}

static void on_signal(int signal) {
  (void)signal;
}

static void *block(void *argument) {
  int pair[2], rounds = 0;
  char byte;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
    exit(1);
  ids[(intptr_t)argument] = gettid();
  arrive(&running);
  for (;;) {
    if (recv(pair[0], &byte, 1, 0) >= 0 || errno != EINTR)
      exit(1);
    rounds++;
    arrive(&parked);
    while (atomic_load(&round_number) < rounds)
      futex_wait(&round_number, rounds - 1);
    arrive(&running);
  }
  return NULL;
}

int main(int argc, char **argv) {
  struct sigaction action = {.sa_handler = on_signal};
  struct timespec rest = {.tv_nsec = 20 * 1000 * 1000};
  if (argc != 3)
    return 2;
  count = atoi(argv[1]);
  ids = calloc((size_t)count, sizeof *ids);
  sigaction(SIGUSR1, &action, NULL);
  for (intptr_t i = 0; i < count; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, block, (void *)i) != 0)
      return 1;
  }
  await(&running);
  for (int i = 0; i < atoi(argv[2]); i++) {
    nanosleep(&rest, NULL); /* all are in recv again */
    atomic_store(&parked, 0);
    atomic_store(&running, 0);
    double begin = now();
    for (int t = 0; t < count; t++)
      syscall(SYS_tgkill, getpid(), ids[t], SIGUSR1);
    await(&parked);
    double stopped = now();
    atomic_fetch_add(&round_number, 1);
    futex_wake(&round_number, count);
    await(&running);
    printf("%.1f %.1f\n", stopped - begin, now() - stopped);
  }
  return 0;
}
