/* Variable-length arrays that exist at points. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What it leaves behind would be seen in memory that was not kept. */
static int id(int x) { char dirt[3000]; memset(dirt, x | 128, sizeof dirt); __asm__ volatile("" : : "m"(dirt)); return x; }
static int *volatile stored;

static int one(int n) {
  int a[n];
  for (int i = 0; i < n; i++) a[i] = id(i * 3);
  stored = a;
  int t = 0;
  n = 1000;
  for (unsigned i = 0; i < sizeof a / sizeof *a; i++) t = t * 2 + id(a[i]) % 7;
  return (t & 0xffff) + (stored == a) + (int)sizeof a;
}

/* More dimensions, constant and not; more declarators; a length that is computed. */
static int many(int n, int m) {
  long a[n][m + 1][2], *p = &a[0][0][0], s, b[n * m], e = id(4);
  s = e;
  char const *names[m], text[] = "text";
  for (int i = 0; i < n; i++)
    for (int j = 0; j <= m; j++)
      for (int k = 0; k < 2; k++) a[i][j][k] = id(i * 100 + j * 10 + k);
  for (int i = 0; i < m; i++) names[i] = id(i) & 1 ? "odd" : text;
  n = m = 0;
  for (unsigned i = 0; i < sizeof b / sizeof b[0]; i++) b[i] = s + id((int)i);
  for (unsigned i = 0; i < sizeof a / sizeof a[0]; i++) s += a[i][1][1] * id(2) + a[i][sizeof a[0] / sizeof a[0][0] - 1][0];
  for (unsigned i = 0; i < sizeof b / sizeof b[0]; i++) s = (s * 3 + b[i]) & 0xffffff;
  return (int)s + (int)strlen(names[id(1)]) + (p == &a[0][0][0]) + (int)sizeof(a[0]) + text[0];
}

/* Declared anew in each turn, with other lengths; with jumps out of the scope and over it. */
static int again(int n) {
  int t = 0;
  for (int i = 1; i < n; i += id(1)) {
    if (i == 3) continue;
    unsigned char a[i % 5 + 1];
    memset(a, i, sizeof a);
    if (id(i) == 7) continue;
    for (unsigned k = 0; k < sizeof a; k++) t += id(a[k]) + (int)sizeof a;
    if (i == 20) break;
  }
  int k = 0;
more:;
  short b[++k];
  b[k - 1] = (short)id(k);
  t += b[k - 1] + (int)sizeof b;
  if (k < 6) goto more;
  do {
    if (id(k) == 4) continue;
    int c[k];
    c[0] = id(k);
    t = t * 3 + c[0] + (int)sizeof c;
  } while (id(--k) > 0);
  return t;
}

/* In a recursion; no point in the scope; a struct as element; two of one name. */
struct pair { int a; double b; };
static int *outer;
static double depth(int n) {
  struct pair pairs[n + 1];
  for (int i = 0; i <= n; i++) pairs[i] = (struct pair){id(i), i * 0.5};
  if (n == 0) return pairs[0].b + outer[0];
  double t = depth(n - 1);
  for (int i = 0; i <= n; i++) t += pairs[i].a + pairs[i].b;
  return t + id(outer[n]);
}
static int quiet(int n) {
  int t = id(n);
  { int a[n]; for (int i = 0; i < n; i++) a[i] = i; t += a[n - 1]; }
  { char a[n]; memset(a, 1, n); t += id(a[0]) + (int)sizeof a; }
  { long a[2 * n]; memset(a, 0, sizeof a); a[n] = id(5); t += (int)a[n] + (int)sizeof a; }
  t += id((int)sizeof(int[n + 1]));
  return t;
}
static int passed(int n, const int *a, int b[n]) { int t = 0; for (int i = 0; i < n; i++) t = t * 3 + id(a[i]) + b[i]; return t & 0xffff; }
static int zero(int n) { int a[n]; int t = id(3) + (int)sizeof a; return t; }
static long turns(void) {
  long t = 0;
  for (int i = 1; i < 400; i++) { int a[i]; a[i - 1] = id(i); t += a[i - 1] + id((int)sizeof a); }
  return t;
}

static int all(void) {
  int n = id(12), first[n];
  for (int i = 0; i < n; i++) first[i] = id(i * i);
  outer = first;
  printf("%d %d\n", one(1), one(9));
  printf("%d\n", many(3, 4));
  printf("%d %d\n", again(5), again(30));
  printf("%g\n", depth(10));
  printf("%d %d %d\n", quiet(3), passed(n, first, first), zero(0));
  printf("%ld %zu\n", turns(), sizeof first);
  return id(0);
}
int main(void) { return all() + id(0); }
