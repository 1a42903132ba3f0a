#include <stdio.h>
static int id(int x) { return x; }
static void set(int *p, int v) { *p = id(v); }
static int cases(int n) {
  int s = 0;
  for (int k = 0; k < n; k++)
    switch (id(k) % 3) { int y[4]; case 0: set(y, 5); s += id(y[0]); break; case 1: { int z; set(&z, k); s += id(z); } set(y + 1, 7); s += id(y[1]) + 1; break; default: set(y, k); s += *y; }
  return s;
}
static int labels(int n) {
  int s = 0;
back:
  if (id(n) & 1) goto in;
  { int z; z = 3; s += id(z); in: set(&z, n); s += id(z); }
  { static const void *const to[] = {&&first, &&second}; goto *to[id(n) & 1]; }
  { int w[2]; first: set(w, 1); s += id(w[0]); if (0) { second: set(w + 1, 2); s += id(w[1]); } }
  if (n-- > 0) goto back;
  return s;
}
int main(void) { for (int i = 0; i < 5; i++) printf("%d %d\n", cases(i), labels(i)); return 0; }
