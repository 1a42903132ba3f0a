/* Structs, unions, complex, vectors and wide numbers by value, in and out, in registers and in memory. */
#include <complex.h>
#include <stdio.h>
#include <string.h>
static int n;
static int id(int x) { n++; return x; }
struct tiny { char c; };
struct two { int a, b; };
struct mixed { double d; long l; };
struct floats { float x, y, z; };
struct doubles { double x, y; };
struct big { long v[6]; };
struct odd { char c[11]; };
struct fixed { const int a; const double b; };
struct arrays { const char text[8]; int k; };
struct empty {};
struct flags { unsigned a : 3; int b : 7; unsigned long long c : 50; _Bool d : 1; };
struct ld { long double v; };
struct nest { struct two t; union { int i; float f; } u; struct { int anon; }; };
union both { long l; double d; char c[8]; };
typedef int v4 __attribute__((vector_size(16)));
typedef float v2f __attribute__((vector_size(8)));
typedef double v4d __attribute__((vector_size(32)));
typedef _Complex double cd;
static struct tiny tiny(int x) { return (struct tiny){(char)id(x)}; }
static struct two two(struct two t, int x) { t.a += id(x); t.b -= id(x); return t; }
static struct mixed mixed(double d, struct mixed m) { m.d += d * id(2); m.l += id(3); return m; }
static struct floats floats(struct floats f) { f.y = f.x + id(1); f.z *= id(2); return f; }
static struct doubles doubles(struct doubles f) { f.y += id(1); return f; }
static struct big big(struct big b, int x, struct two t) { b.v[id(x)] += id(5) + t.a; return b; }
static struct odd odd(struct odd o) { o.c[id(3)]++; return o; }
static struct fixed fixed(int x) { struct fixed f = {id(x), id(x) / 4.0}; return f; }
static struct arrays arrays(int x) { struct arrays a = {"hello", id(x)}; return a; }
static struct empty empty(struct empty e) { id(0); return e; }
static struct flags flags(struct flags f) { f.a += (unsigned)id(1); f.b -= id(1); f.c <<= id(3); f.d = !f.d; return f; }
static struct ld ld(struct ld x) { x.v /= id(3); return x; }
static struct nest nest(struct nest x) { x.u.i += id(1); x.anon += x.t.b; return x; }
static union both both(union both u, int x) { u.l += id(x); return u; }
static v4 vectors(v4 a, v4 b, int x) { v4 r = a * b; r += id(x); return r; }
static v2f halves(v2f a) { return a * (float)id(2); }
static v4d wide(v4d a, double k) { a[id(1)] += k; return a; }
static cd complexes(cd z) { return z * id(2) + I * id(1); }
static _Complex float cfloat(_Complex float z) { return z + id(1); }
static long double ldouble(long double x, int k) { return x / id(k); }
static __int128 wides(__int128 a, unsigned __int128 b) { return a * id(3) + (__int128)b; }
static struct big (*pick(int x))(struct big, int, struct two) { return id(x) ? big : NULL; }
static struct two *where(struct two *t) { id(1); return t; }
static double read_floats(struct floats f, struct doubles d, float x, struct mixed m, long double l) { return f.x + f.y * 10 + d.x + id(1) + d.y + x + m.d + (double)m.l + (double)l; }
#define P(x) printf("%s=%lld ", #x, (long long)(x))
#define D(x) printf("%s=%.4f ", #x, (double)(x))
int main(void) {
  struct two t = two((struct two){id(1), id(2)}, 3), array[3] = {{1, 2}, {3, 4}, {5, 6}};
  array[id(1)] = two(array[id(2)], id(4));
  *where(&array[0]) = two(*where(&array[1]), 1);
  struct mixed m = mixed(id(2), (struct mixed){.l = id(9), .d = 1.5});
  struct big b = {{1, 2, 3, 4, 5, 6}}, c = big(big(b, 1, t), 2, two(t, 1)), d;
  d = pick(1)(c, id(4), t);
  struct odd o = odd(odd((struct odd){"abcdefghij"}));
  const struct fixed f = fixed(6);
  struct arrays ar = arrays(7);
  struct nest ne = nest((struct nest){{1, 2}, {.i = 5}, {9}});
  struct flags fl = flags((struct flags){7, -3, 1ull << 40, 0});
  union both u = both((union both){.l = 5}, 6);
  v4 v = vectors((v4){1, 2, 3, 4}, (v4){id(5), 6, id(7), 8}, 9), w = v + (v4){id(1)};
  v2f h = halves((v2f){1.5f, id(2)});
  v4d q = wide(wide((v4d){1, 2, 3, 4}, 5), id(7));
  cd z = complexes(complexes(1 + 2 * I));
  _Complex float zf = cfloat(2);
  long double l = ldouble(ldouble(10, 3), id(2));
  __int128 i = wides((__int128)1 << 90, (unsigned __int128)id(5) << 64);
  empty(empty((struct empty){}));
  P(tiny(id(65)).c); P(t.a); P(t.b); P(array[0].a); P(array[1].a); P(array[1].b); D(m.d); P(m.l); P(two(t, id(1)).b);
  P(c.v[1]); P(c.v[2]); P(d.v[4]); P(big(d, 0, t).v[0]); P(o.c[3]); P(f.a); D(f.b); D(fixed(3).b); P(ar.k); printf("%s %s ", ar.text, arrays(2).text);
  P(ne.u.i); P(ne.anon); P(nest(ne).t.a); P(fl.a); P(fl.b); P(fl.c >> 10); P(fl.d); P(flags(fl).c >> 10); P(u.c[0]); P(both(u, 1).l);
  P(v[0]); P(v[3]); P(w[1]); P(vectors(v, w, 1)[2]); D(h[0]); D(h[1]); D(q[1]); D(wide(q, 1)[1]); D(creal(z)); D(cimag(z)); D(crealf(zf)); D(cimag(complexes(z)));
  D(l); D(ldouble(l, id(2))); P(i >> 64); P(wides(i, 1) >> 64); D(ld((struct ld){l}).v);
  D(read_floats(floats((struct floats){id(1), id(2), id(3)}), doubles((struct doubles){id(4), 5}), id(6), mixed(1, m), ldouble(l, 2)));
  P(n); printf("\n");
  return 0;
}
