/* Frames of unusual shape: aligned more than the stack, large, with many locals, deep, on small stacks; and the stack is
 * not used up however often it is built again. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uintptr_t lowest = UINTPTR_MAX;
static int id(int x) { if ((uintptr_t)&x < lowest) lowest = (uintptr_t)&x; return x; }
struct tail { int n; char text[]; };
typedef float lanes __attribute__((vector_size(32)));

static int aligned(int n) {
  _Alignas(64) char line[40];
  _Alignas(128) struct { long a; } wide = {n};
  lanes sum = {1, 2, 3, 4, 5, 6, 7, 8};
  memset(line, n, sizeof line);
  for (int i = 0; i < 5; i++) sum += (float)id(i);
  int bad = ((uintptr_t)line % 64 != 0) + ((uintptr_t)&wide % 128 != 0);
  return bad * 1000 + line[39] + (int)wide.a + (int)sum[7] + id(1);
}
static int flexible(void) {
  struct { struct tail head; char room[12]; } it = {{id(3)}, "elevenbytes"};
  struct tail *t = &it.head;
  return id(t->n) + t->text[id(4)];
}
static __attribute__((noinline)) int large(int n) { /* or its page is in the frame of main, which is built again */
  char page[200000];
  memset(page, n, sizeof page);
  int t = id(1);
  for (int i = 0; i < 4; i++) t += id(page[i * 49999]);
  return t;
}
static int deep(int n) { int here = n; int *p = &here; if (n == 0) return id(0); int t = deep(n - 1); return (t + *p) & 0xffff; }
static void *small(void *argument) {
  int n = *(int *)argument, a[n];
  for (int i = 0; i < n; i++) a[i] = id(i);
  *(int *)argument = a[n - 1] + deep(20);
  return argument;
}
static int creeps(void) {
  char kept[64];
  uintptr_t first;
  int t = 0;
  lowest = UINTPTR_MAX;
  id(1);
  first = lowest;
  for (int i = 0; i < 1500; i++) {
    int a[i % 50 + 1];
    memset(kept, i, sizeof kept);
    a[i % 50] = id(kept[i % 64]);
    t = (t + a[i % 50] + id(1)) & 0xffff;
  }
  return t + (first - lowest > 100000 ? 1000000 : 0);
}
static long crowd(int k) { long v0 = id(k + 0); long v1 = id(k + 1); long v2 = id(k + 2); long v3 = id(k + 3); long v4 = id(k + 4); long v5 = id(k + 5); long v6 = id(k + 6); long v7 = id(k + 7); long v8 = id(k + 8); long v9 = id(k + 9); long v10 = id(k + 10); long v11 = id(k + 11); long v12 = id(k + 12); long v13 = id(k + 13); long v14 = id(k + 14); long v15 = id(k + 15); long v16 = id(k + 16); long v17 = id(k + 17); long v18 = id(k + 18); long v19 = id(k + 19); long v20 = id(k + 20); long v21 = id(k + 21); long v22 = id(k + 22); long v23 = id(k + 23); long v24 = id(k + 24); long v25 = id(k + 25); long v26 = id(k + 26); long v27 = id(k + 27); long v28 = id(k + 28); long v29 = id(k + 29); long v30 = id(k + 30); long v31 = id(k + 31); long v32 = id(k + 32); long v33 = id(k + 33); long v34 = id(k + 34); long v35 = id(k + 35); long v36 = id(k + 36); long v37 = id(k + 37); long v38 = id(k + 38); long v39 = id(k + 39); long v40 = id(k + 40); long v41 = id(k + 41); long v42 = id(k + 42); long v43 = id(k + 43); long v44 = id(k + 44); long v45 = id(k + 45); long v46 = id(k + 46); long v47 = id(k + 47); long v48 = id(k + 48); long v49 = id(k + 49); long v50 = id(k + 50); long v51 = id(k + 51); long v52 = id(k + 52); long v53 = id(k + 53); long v54 = id(k + 54); long v55 = id(k + 55); long v56 = id(k + 56); long v57 = id(k + 57); long v58 = id(k + 58); long v59 = id(k + 59); k = id(9); return v0 * 1 + v1 * 2 + v2 * 3 + v3 * 4 + v4 * 5 + v5 * 6 + v6 * 7 + v7 * 1 + v8 * 2 + v9 * 3 + v10 * 4 + v11 * 5 + v12 * 6 + v13 * 7 + v14 * 1 + v15 * 2 + v16 * 3 + v17 * 4 + v18 * 5 + v19 * 6 + v20 * 7 + v21 * 1 + v22 * 2 + v23 * 3 + v24 * 4 + v25 * 5 + v26 * 6 + v27 * 7 + v28 * 1 + v29 * 2 + v30 * 3 + v31 * 4 + v32 * 5 + v33 * 6 + v34 * 7 + v35 * 1 + v36 * 2 + v37 * 3 + v38 * 4 + v39 * 5 + v40 * 6 + v41 * 7 + v42 * 1 + v43 * 2 + v44 * 3 + v45 * 4 + v46 * 5 + v47 * 6 + v48 * 7 + v49 * 1 + v50 * 2 + v51 * 3 + v52 * 4 + v53 * 5 + v54 * 6 + v55 * 7 + v56 * 1 + v57 * 2 + v58 * 3 + v59 * 4 + k; }

int main(void) {
  int n = 30;
  pthread_t thread;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 * 1024);
  printf("%d %d %d\n", aligned(3), flexible(), large(5));
  printf("%d %d\n", deep(300), creeps());
  printf("%ld\n", crowd(3));
  if (pthread_create(&thread, &attributes, small, &n) != 0) return 1;
  pthread_join(thread, 0);
  printf("%d\n", n);
  return id(0);
}
