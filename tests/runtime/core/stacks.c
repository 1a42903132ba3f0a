/* Recursion, loops, kept arrays, threads: prints a checksum that must not depend on the storm. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <errno.h>

#include "notes.h"

int upstare_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

#define FRAME_00000000000a0001 64
#define FRAME_00000000000a0002 192
#define FRAME_00000000000a0003 80
#define FRAME_00000000000a0004 128

static long rounds = 200;
static volatile int sink;

/* A loop with a point; integers in registers, floating point; inlinable. */
static long leaf(long a, double f, long *out) {
  long sum = 0;
  for (int i = 0; i < 5; i++) {
    sum += a * i;
    f = f * 1.5 + i;
    *out += i;
    POINT(00000000000a0001, 1, 2, 5, V(0, 0, 8) V(1, 8, 8) V(2, 16, 4) F(3, 24, 8) V(4, 32, 8),
          SAVE(0, a) SAVE(8, sum) SAVE(16, i) SAVE(24, f) SAVE(32, out),
          "nor"(a), "nor"(sum), "nor"(i), "xm"(f), "nor"(out));
  }
  return sum + (long)f;
  DUMMY(long)
}

RESUME(long, 00000000000a0001) {
  long a, sum, *out;
  int i;
  double f;
  BEGIN
  LOAD(a, 0); LOAD(sum, 8); LOAD(i, 16); LOAD(f, 24); LOAD(out, 32);
  for (i++; i < 5; i++) {
    sum += a * i;
    f = f * 1.5 + i;
    *out += i;
    POINT(00000000000a0001, 1, 2, 5, V(0, 0, 8) V(1, 8, 8) V(2, 16, 4) F(3, 24, 8) V(4, 32, 8),
          SAVE(0, a) SAVE(8, sum) SAVE(16, i) SAVE(24, f) SAVE(32, out),
          "nor"(a), "nor"(sum), "nor"(i), "xm"(f), "nor"(out));
  }
  return sum + (long)f;
  DUMMY(long)
}

/* Recursion; an array that keeps its address, written to by the callee. */
NOINLINE static long deep(int depth, long x, long *outer) {
  long kept[4] = {depth, x, 0, 0};
  long mine = x ^ 0x5555, r;
  if (depth == 0) {
    r = leaf(x, 0.25, outer);
    POINT(00000000000a0002, 1, 1, 1, V(0, 8, 8), SAVE(8, r), "nor"(r));
    return r;
  }
  kept[2] = (long)kept;
  r = deep(depth - 1, x + 3, kept);
  POINT(00000000000a0002, 2, 1, 5, V(0, 0, 4) V(1, 16, 8) V(2, 24, 8) V(3, 8, 8) O(4, 32, 32),
        SAVE(0, depth) SAVE(16, mine) SAVE(24, outer) SAVE(8, r) KEEP(32, kept, 32),
        "nor"(depth), "nor"(mine), "nor"(outer), "nor"(r), "m"(kept));
  outer[3] += kept[3] + (kept[2] == (long)kept) + mine;
  return r + mine + kept[0];
  DUMMY(long)
}

RESUME(long, 00000000000a0002) {
  int depth = 0;
  long mine = 0, *outer = 0, r = 0, *kept = 0;
  BEGIN
  if (upstare_point == 1) {
    LOAD(r, 8);
    if (upstare_phase == UPSTARE_IN_CALL) {
      r = CALLEE(long);
      POINT(00000000000a0002, 1, 1, 1, V(0, 8, 8), SAVE(8, r), "nor"(r));
    }
    return r;
  }
  LOAD(depth, 0); LOAD(mine, 16); LOAD(outer, 24); LOAD(r, 8); LOAD(kept, 32);
  if (upstare_phase == UPSTARE_IN_CALL) {
    r = CALLEE(long);
    POINT(00000000000a0002, 2, 1, 5, V(0, 0, 4) V(1, 16, 8) V(2, 24, 8) V(3, 8, 8) P(4, 32, 32),
          SAVE(0, depth) SAVE(16, mine) SAVE(24, outer) SAVE(8, r) KEEP(32, kept, 32),
          "nor"(depth), "nor"(mine), "nor"(outer), "nor"(r), "nor"(kept));
  }
  outer[3] += kept[3] + (kept[2] == (long)kept) + mine;
  return r + mine + kept[0];
  DUMMY(long)
}

/* A thread's function. */
NOINLINE static void *work(void *argument) {
  long *result = argument;
  long cells[4] = {0}, i, total = 0, r;
  for (i = 0; i < rounds; i++) {
    errno = (int)(i & 31);
    r = deep((int)(i % 20), i, cells);
    POINT(00000000000a0003, 1, 1, 5, V(0, 0, 8) V(1, 8, 8) V(2, 16, 8) V(3, 24, 8) O(4, 32, 32),
          SAVE(0, result) SAVE(8, i) SAVE(16, total) SAVE(24, r) KEEP(32, cells, 32),
          "nor"(result), "nor"(i), "nor"(total), "nor"(r), "m"(cells));
    if (errno != (int)(i & 31)) total += 1000000007;
    total = total * 31 + r + cells[3];
  }
  *result = total;
  return argument;
  DUMMY(void *)
}

RESUME(void *, 00000000000a0003) {
  long *result, i, total, r, *cells;
  BEGIN
  LOAD(result, 0); LOAD(i, 8); LOAD(total, 16); LOAD(r, 24); LOAD(cells, 32);
  if (upstare_phase == UPSTARE_AFTER) goto after;
  r = CALLEE(long);
  goto point;
  for (; i < rounds; i++) {
    errno = (int)(i & 31);
    r = deep((int)(i % 20), i, cells);
  point:
    POINT(00000000000a0003, 1, 1, 5, V(0, 0, 8) V(1, 8, 8) V(2, 16, 8) V(3, 24, 8) P(4, 32, 32),
          SAVE(0, result) SAVE(8, i) SAVE(16, total) SAVE(24, r) KEEP(32, cells, 32),
          "nor"(result), "nor"(i), "nor"(total), "nor"(r), "nor"(cells));
  after:
    if (errno != (int)(i & 31)) total += 1000000007;
    total = total * 31 + r + cells[3];
  }
  *result = total;
  return (void *)result;
  DUMMY(void *)
}

NOINLINE static int compare(const void *a, const void *b) {
  long cells[4] = {0};
  sink += (int)deep(2, *(const int *)a, cells);
  return *(const int *)a - *(const int *)b;
}

enum { MOST = 16 };
static long results[MOST], mine;
static pthread_t threads[MOST];

static int finish(int n, const void *got) {
  for (int i = 0; i < n; i++) {
    pthread_join(threads[i], NULL);
    mine = mine * 7 + results[i];
  }
  int order[8] = {5, 3, 8, 1, 9, 2, 7, 4};
  qsort(order, 8, sizeof *order, compare);
  printf("%ld %d %d %d\n", mine, order[0], order[7], got == &mine);
  return 5;
}

int main(int argc, char **argv) {
  int n = argc > 1 ? atoi(argv[1]) : 0;
  if (argc > 2) rounds = atol(argv[2]);
  for (int i = 0; i < n; i++)
    if (upstare_pthread_create(&threads[i], NULL, work, &results[i]) != 0) return 9;
  void *got = work(&mine);
  POINT(00000000000a0004, 1, 1, 2, V(0, 0, 4) V(1, 8, 8), SAVE(0, n) SAVE(8, got), "nor"(n), "nor"(got));
  return finish(n, got);
  DUMMY(int)
}

RESUME(int, 00000000000a0004) {
  int n;
  void *got;
  BEGIN
  LOAD(n, 0); LOAD(got, 8);
  if (upstare_phase == UPSTARE_IN_CALL) {
    got = CALLEE(void *);
    POINT(00000000000a0004, 1, 1, 2, V(0, 0, 4) V(1, 8, 8), SAVE(0, n) SAVE(8, got), "nor"(n), "nor"(got));
  }
  return finish(n, got);
  DUMMY(int)
}
