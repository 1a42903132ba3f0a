/* A counter on one thread's stack that another increments all the time. Every increment must arrive. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sched.h>

#include "notes.h"

int upstare_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

#define FRAME_00000000000c0001 128
#define FRAME_00000000000c0002 64

static _Atomic(long) *_Atomic shared;
static _Atomic(long) sent;
static atomic_int stop;

static void *other(void *argument) {
  (void)argument;
  while (!atomic_load(&stop)) {
    _Atomic(long) *where = atomic_load(&shared);
    if (where == NULL) continue;
    atomic_fetch_add(where, 1);
    atomic_fetch_add(&sent, 1);
  }
  return NULL;
}

/* 00000000000c0002 inner */
NOINLINE static int inner(int depth) {
  char below[200];
  int r;
  memset(below, depth, sizeof below);
  __asm__ volatile("" : : "r"(below) : "memory");
  if (depth == 0) return below[3];
  r = inner(depth - 1);
  POINT(00000000000c0002, 1, 1, 2, V(0, 0, 4) V(1, 8, 4), SAVE(0, depth) SAVE(8, r), "nor"(depth), "nor"(r));
  return r + depth;
  DUMMY(int)
}

RESUME(int, 00000000000c0002) {
  int depth, r;
  BEGIN
  LOAD(depth, 0); LOAD(r, 8);
  if (upstare_phase == UPSTARE_IN_CALL) {
    r = CALLEE(int);
    POINT(00000000000c0002, 1, 1, 2, V(0, 0, 4) V(1, 8, 4), SAVE(0, depth) SAVE(8, r), "nor"(depth), "nor"(r));
  }
  return r + depth;
  DUMMY(int)
}

/* 00000000000c0001 main */
int main(void) {
  _Atomic(long) counter = 0;
  pthread_t thread;
  int i, total = 0, r;
  shared = &counter;
  if (pthread_create(&thread, NULL, other, NULL) != 0) return 9;
  while (atomic_load(&sent) < 1000) sched_yield();
  for (i = 0; i < 2000; i++) {
    r = inner(6);
    POINT(00000000000c0001, 1, 1, 5, V(0, 0, 4) V(1, 8, 4) V(2, 16, 4) V(3, 24, 8) O(4, 32, 8),
          SAVE(0, i) SAVE(8, total) SAVE(16, r) SAVE(24, thread) KEEP(32, (void *)&counter, 8),
          "nor"(i), "nor"(total), "nor"(r), "nor"(thread), "m"(counter));
    total += r;
  }
  atomic_store(&stop, 1);
  pthread_join(thread, NULL);
  printf("%ld lost\n", atomic_load(&sent) - atomic_load(&counter));
  return total != 2000 * 21;
  DUMMY(int)
}

RESUME(int, 00000000000c0001) {
  _Atomic(long) *counter;
  pthread_t thread;
  int i, total, r;
  BEGIN
  LOAD(i, 0); LOAD(total, 8); LOAD(r, 16); LOAD(thread, 24); LOAD(counter, 32);
  if (upstare_phase == UPSTARE_AFTER) goto after;
  r = CALLEE(int);
  goto point;
  for (; i < 2000; i++) {
    r = inner(6);
  point:
    POINT(00000000000c0001, 1, 1, 5, V(0, 0, 4) V(1, 8, 4) V(2, 16, 4) V(3, 24, 8) P(4, 32, 8),
          SAVE(0, i) SAVE(8, total) SAVE(16, r) SAVE(24, thread) KEEP(32, (void *)counter, 8),
          "nor"(i), "nor"(total), "nor"(r), "nor"(thread), "nor"(counter));
  after:
    total += r;
  }
  atomic_store(&stop, 1);
  pthread_join(thread, NULL);
  printf("%ld lost\n", atomic_load(&sent) - atomic_load(counter));
  return total != 2000 * 21;
  DUMMY(int)
}
