/* Initialisers with points that depend on each other or on their own declaration. */
#include <stdio.h>
#include <stdlib.h>
static int n, global;
static int id(int x) { n++; return x; }
static int bump(void) { return id(++global); }
struct node { struct node *self; const struct node *other; int v; };
struct fixed { const int a; int b; };
static struct fixed fixed(int x) { return (struct fixed){id(x), id(x + 1)}; }
static int *get(int *p) { id(1); return p; }
static int order(void) { int e = global, f = bump(), g = global, h = bump() + g; return e * 1000 + f * 100 + g * 10 + h; }
static int own(void) {
  struct node a = {.self = &a, .v = id(3), .other = &a}, b = {&a, &b, id(a.v)};
  int *p = malloc(sizeof *p + (size_t)id(0)), x = id(1), *q = get(&x), y[] = {id(x), *q + 1, id(4)}, z[3] = {x, [2] = id(5)};
  char text[] = "abc", more[] = {(char)id('d'), text[1], 0}, last[8] = "xyz", end = (char)id(last[2]);
  const int c = x + 1, d = id(c), e[2] = {d, id(d) + 1}, *const r = &e[1];
  struct fixed f = fixed(x), g = fixed(f.b), h = {g.a, id(g.b)};
  struct { int k; struct fixed in; } nest = {id(1), fixed(2)}, nest2 = {nest.k, nest.in};
  *p = id(6); x = *p + a.self->v + b.self->v + b.other->v + y[0] + y[1] + y[2] + z[0] + z[1] + z[2] + more[0] + more[1] + end + c + d + e[0] + *r + h.b + (int)sizeof y + (int)sizeof more + nest.in.b + nest2.in.a;
  free(p);
  return x;
}
static int recursion(int k) { static int depth; int me = ++depth, (*self)(int) = recursion, r = k ? self(k - 1) : id(0), *pr = &r, t = id(*pr) + me; return t; }
static int loop(void) { int s = 0; for (int i = id(0), j = i + 1, a[2] = {i, id(j)}; i < id(3); i++, j += a[1]) { int k = id(i), *pk = &k, l = id(*pk) + j; s += l; } return s; }
int main(void) { printf("%d ", order()); printf("%d ", order()); printf("%d ", own()); printf("%d ", recursion(4)); printf("%d %d\n", loop(), n); return 0; }
