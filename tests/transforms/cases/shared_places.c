/* A kept object of an inlined function, whose place on the stack the compiler would like for the caller's result. */
#include <stdio.h>
static int n, g = 5, out; static char byte = 6; static char *seen;
union result { int f; };
static int id(int x) { for (int i = 0; i < 2; i++) n++; return x; }
static inline union result inner(int *p, char small) {
  const int *list[1][3];
  union result r = {-1};
  for (int i = 0; i < 1; i++) for (int j = 0; j < 3; j++) list[i][j] = &g;
  if (small) { seen = &small; for (small = 0; small <= 2; small++) { *p += id(small); out += *seen; } }
  out += *list[0][2];
  seen = 0;
  return r;
}
static int outer(union result r) { int here[2] = {r.f, id(1)}; int *p = here; for (int i = 0; i < 3; i++) *p += id(i); return *p + here[1]; }
static int whole(void) { int local = 3; union result many[3] = {{1}, {2}, {3}}; int s = outer(inner(&local, byte)); int t = outer(inner(&many[1].f, byte)); return s * 100 + t + local + many[1].f; }
int main(void) { int s = 0; for (int i = 0; i < 3; i++) s += whole(); printf("%d %d %d\n", s, out, n); return 0; }
