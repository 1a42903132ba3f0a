#include <stdio.h>
#include <stdlib.h>
static int id(int x) { return x; }
static int log_at, last;
static void note(const char *what, int v) { last = last * 31 + v; printf("%s%d ", what, v); log_at++; }
static void done(int *p) { note("-", id(*p)); *p = -1; }
static int done_text(char **p) { note("f", id((*p)[0])); free(*p); return 1; }
static void cold(int *p) { last += *p; }
struct pair { int a, b; };
static void done_pair(struct pair *p) { note("p", p->a + p->b); }
static void done_array(int (*p)[3]) { note("a", (*p)[id(1)]); }
#define CLEAN(f) __attribute__((cleanup(f)))
static int blocks(int n) {
  CLEAN(done) int first = id(1); int __attribute__((__cleanup__(done), unused)) second = id(2), third = 3;
  { int inner CLEAN(done) = id(n); char *text __attribute__((cleanup (done_text))) = malloc(2); text[0] = 'x'; text[1] = 0; note("b", inner); }
  struct pair pair CLEAN(done_pair) = {id(n), 4}; int array[3] CLEAN(done_array) = {7, 8, 9};
  if (n == 1) return first + second + third + pair.a;
  if (n == 2) { CLEAN(done) int more = 50; return id(more) + (array[0] = id(3)); }
  note("e", n); return id(first) * 100 + array[2];
}
static void jumps(int n) {
  for (CLEAN(done) int i = 0; i < id(4); i++) {
    CLEAN(done) int body = 100 + i; if (i == 1) continue; if (i == 3 && n == 0) break;
    switch (n) { case 5: break; case 1: { CLEAN(done) int arm = 200; if (i == 0) break; if (i == 2) goto out; arm++; } default: note("d", n); }
    while (n == 2) { CLEAN(done) int loop = 400 + i; if (id(loop) > 401) goto next; break; }
    do { CLEAN(cold) int quiet = 500; if (n == 3) continue; quiet += id(1); } while (id(0));
    next: note("n", i);
  }
out: note("o", n);
  int turns = 0;
again: ; { CLEAN(done) int scope = 600; if (turns++ < 2) goto again; }
  CLEAN(done) int late = 700; if (turns++ < 4) goto again2; return;
again2: note("g", late);
}
static struct pair whole(int n) { CLEAN(done) int x = n; struct pair p CLEAN(done_pair) = {id(x), 2}; return p; }
static int expressions(int n) {
  int v = ({ CLEAN(done) int t = id(n); t * 2; }) + ({ CLEAN(cold) int q = n; q + 1; });
  int w = n > 1 ? ({ CLEAN(done) int t = n; id(t) + 3; }) : 4; ({ CLEAN(done) int u = 9; });
  return v + w;
}
static int implicit(int n, struct pair p) { CLEAN(done) int a = id(n); if (p.a) note("i", a); return a; }
static void nested(int *p) { CLEAN(done) int again = *p; note("N", id(again)); }
static void *pointer(int n) { CLEAN(nested) int x = n; static int there; there = id(x); return &there; }
int main(void) {
  for (int n = 0; n < 6; n++) {
    int b = blocks(n % 4); jumps(n); struct pair w = whole(n); int e = expressions(n);
    printf("| %d %d %d %d %d %d\n", b, w.a, w.b, e, implicit(n, w), *(int *)pointer(n));
  }
  CLEAN(done) int at_exit = 1; printf("%d %d\n", log_at, last);
}
