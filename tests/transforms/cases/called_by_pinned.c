/* Functions with points that are inlined where nothing looks at points: in a pinned function, before an exit. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static int id(int x) { return x; }
static inline int inlined(int n) { int t = 0; for (int i = 0; i < n; i++) t += id(i); return t; }
static int pinned(int n) {
  int (*row)[n] = 0; /* a pointer to an array of variable length: nothing here is taken down */
  return inlined(n) + inlined(n + 1) + (row != 0);
}
static void report(int n) { printf("%d\n", inlined(n)); fflush(stdout); }
static void fail(int n) { if (n > 1) { report(n); report(inlined(3)); exit(3); } }
int main(void) {
  printf("%d\n", pinned(4) + inlined(2));
  fail(id(1));
  fail(id(2));
  return 0;
}
