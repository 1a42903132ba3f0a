/* Idioms that real programs are made of, with points in all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int n; static int id(int x) { n++; return x; }
typedef struct list { struct list *next; int v; } list;
#define container_of(p, t, m) ({ const __typeof__(((t *)0)->m) *p_ = (p); (t *)((char *)p_ - offsetof(t, m)); })
#define for_each(p, head) for (list *p = (head), *next_; p && (next_ = p->next, id(1)); p = next_)
struct holder { int a; list l; int b[]; };
static void *allocate(size_t s) { return id(1) ? calloc(1, s) : NULL; }
static int lists(void) { list *head = NULL; for (int i = 0; i < 5; i++) { list *l = allocate(sizeof *l); *l = (list){head, id(i)}; head = l; } int s = 0; for_each(p, head) { s = s * 10 + p->v; free(p); } struct holder *h = allocate(sizeof *h + 3 * sizeof h->b[0]); h->b[id(2)] = id(7); h->l.v = 3; list *l = &h->l; s += container_of(&l->v, struct holder, l.v)->b[2]; free(h); return s; }
struct ops { int (*f)(struct ops *, int); union { int (*g)(int); void *p; } u; struct { int (*const table[2])(int); } in; };
static int method(struct ops *o, int k) { return k <= 0 ? 0 : o->u.g(k) + o->f(o, k - 1) + o->in.table[k & 1](k); }
static int twice(int x) { return id(x) * 2; }
static struct ops *self(struct ops *o) { id(0); return o; }
static int objects(void) { struct ops o = {method, {twice}, {{id, twice}}}, *p = &o; return p->f(p, 4) + self(p)->u.g(3) + (*self(&o)).in.table[id(1)](5) + (id(1) ? p->u.g : id)(2); }
static int format(char *to, size_t size, const char *f, ...) { va_list ap; va_start(ap, f); int k = vsnprintf(to, size, f, ap); va_end(ap); return id(k); }
static int texts(void) { char b[64]; int k = format(b, sizeof b, "%d-%s-%.2f", id(5), "x", 2.5); return k + (int)strlen(b) + b[id(0)] + format(b + k, sizeof b - (size_t)k, "%c", id('z')); }
static long mixed(int a, long b, double c, char d, float e, short f, unsigned g, void *h, long long i, _Bool j) { id(a); return a + b + (long)c + d + (long)e + f + g + (h != 0) + i + j; }
static uint64_t hash(const unsigned char *p, size_t k) { uint64_t h = 1469598103934665603u; for (; k; k--, p++) { h ^= (uint64_t)id(*p); h *= 1099511628211u; h = h << id(3) | h >> (64 - 3); } return h; }
static int arrays(void) { int a[3][4] = {{0}}, (*row)[4] = a, *cell; for (row = a; row < a + 3; row++) for (cell = *row; cell < *row + 4; cell++) *cell = id((int)(cell - *a)); int (*whole)[3][4] = &a; return (*whole)[id(2)][id(3)] + a[id(1)][2] + *(*(a + id(1)) + id(1)) + (int)(sizeof *whole / sizeof **a) + id(1)[a[0]]; }
static double floats(void) { float f = 0.1f; double d = 0.1; long double l = 0.1L; _Complex double z = 1.0; for (int i = 0; i < 5; i++) { f += (float)id(i) * 0.3f; d *= 1 + id(i); l /= 3 + id(1); z *= z + id(i); } return f + d + (double)l + __real__ z + __imag__ z; }
static int early(int k) { for (int i = 0; i < 3; i++) { for (int j = 0; j < 3; j++) { if (id(i * j) == k) return id(100 + i); if (j > i) break; } switch (i) { case 1: continue; case 2: if (id(k) > 5) return -1; } } do { if (id(k) == 9) break; k++; } while (id(k) < 12); return k; }
static void out(int *r, int k) { if (k > 2) { out(r, k - 1); *r += id(k); return; } *r = id(k); }
static const char *name_of(int k) { static const char *const names[] = {[0] = "zero", [2] = "two"}; return k >= 0 && (size_t)k < sizeof names / sizeof *names && names[id(k)] ? names[k] : id(k) < 0 ? "negative" : "many"; }
static int volatile_things(void) { volatile struct { int a; volatile int b; } v = {id(1), id(2)}; volatile int a[3] = {id(1), 2, 3}; volatile int *p = a; int s = 0; for (volatile int i = 0; i < 3; i++) { s += p[i] + id(i); v.a += s; a[i] = v.b; } return s + v.a + a[2]; }
static int swap_args(int a, int b) { int t; return t = a, a = id(b), b = id(t), a * 10 + b; }
static int parameters(int a[], const char *s, int (*f)(int), int k) { a[0] += id(k); a++; s += id(1); k = f(k); f = id; return a[0] + *s + f(k) + (int)sizeof(a); }
static unsigned narrow(unsigned char c, signed char d, unsigned short e) { c += (unsigned char)id(200); d = (signed char)(d - id(100)); e = (unsigned short)(e * id(3)); c++; --d; e <<= id(1); return c + (unsigned)d * 3u + e; }
int main(void) {
  int r, v[3] = {1, 2, 3}; out(&r, 6); unsigned char data[] = "some data";
  printf("%d %d %d %ld %016llx %d %.6f\n", lists(), objects(), texts(), mixed(id(1), id(2), id(3), (char)id(4), id(5), 6, 7, &r, id(8), id(9)), (unsigned long long)hash(data, sizeof data), arrays(), floats());
  for (int k = -1; k < 7; k++) printf("%d %s; ", early(k), name_of(k)); printf("%d %d %d %d %u %d\n", r, volatile_things(), swap_args(3, 4), parameters(v, "abc", twice, 5), narrow(100, 100, 40000), n);
  return 0;
}
