/* Declarations of every shape in blocks and at file scope. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int n;
static int id(int x) { n++; return x; }
int tentative; int tentative; extern int tentative; int tentative = 4;
int common_one; int common_one;
static int later(int); static int forward[];
static int forward[3] = {1, 2, 3};
extern int declared_late;
enum color { RED, GREEN = 5, BLUE };
struct anonymous { int kind; union { int i; float f; struct { short lo, hi; }; }; struct { int deep; } named; };
struct flexible { int count; int item[]; };
struct zero { int count; int item[0]; };
struct empty {};
#pragma pack(push, 1)
struct packed { char c; int i; short s; double d; };
#pragma pack(pop)
struct attr { char c; long l; } __attribute__((packed, aligned(4)));
struct aligned { _Alignas(32) char c; int i; };
_Static_assert(sizeof(struct packed) == 15, "packed");
_Static_assert(sizeof(struct attr) == 12, "attr");
static int (*table[])(int) = {id, later};
static int (*(*chooser(int k))(int))(int);
static int twice(int x) { return 2 * id(x); }
static int (*inner_pick(int k))(int) { return id(k) ? twice : id; }
static int (*(*chooser(int k))(int))(int) { id(k); return inner_pick; }
static int sum_rows(int rows, int cols, int m[][4]) { int s = 0; for (int i = 0; i < rows; i++) for (int j = 0; j < cols; j++) s += id(m[i][j]); return s; }
static int sum_pointer(int (*m)[4], int rows) { int s = 0; while (rows--) s += id((*m++)[rows & 3]); return s; }
static int sum_cube(int c[2][3][4]) { return id(c[1][2][3]) + id(c[0][1][2]); }
static int at_least(int a[static 3], const int *restrict b, int *restrict const c) { *c = id(a[2]) + *b; return *c; }
static int takes_function(int f(int), int (*g)(int)) { return f(1) + g(2); }
static int unnamed(int, int x, char *);
static int unnamed(int a, int x, char *s) { return id(a) + x + (int)strlen(s); }
int knr(a, b, c, d) char a; float b; short c[]; struct anonymous *d; { return id(a) + (int)b + c[1] + d->i; }
int knr_default(); int knr_default(x) { return id(x) + 1; }
implicit(x) int x; { return id(x) * 3; }
static void local_things(int k) {
  typedef struct { int a, b; } pair; typedef int row[3];
  enum color { YELLOW = 50, RED = 60 }; struct node { struct node *next; int v; } a = {NULL, id(k)}, b = {&a, id(YELLOW)};
  union { int i; unsigned char c[4]; } u = {.i = id(0x01020304)};
  extern int declared_late; int later(int);
  pair p = {.b = id(RED), .a = id(1)}; row r = {id(7), [2] = id(9)};
  static pair keep = {1, 2}; keep.a += id(p.a);
  printf("%d %d %d %d %d %d %d %d %d\n", b.next->v, b.v, u.c[0], declared_late, later(2), p.b, r[2], r[1], keep.a);
}
static int shadows(int x) {
  int s = id(x); { int x = s + id(1); { int x = id(2), y = x; s += x + y; { char x = id(3); s += x; } s += x; } s += x; for (int x = 0; x < 3; x++) { int s = id(x); x += s > 5; } s += id(x); }
  { int s = id(100); x += s; } { int id = 5; x += id; } { double n = 2.5; x += (int)(n * 2); later((int)n); x += (int)n; }
  enum { later = 7 }; x += later;
  return s + x;
}
static int references(void) {
  static int first = 5; static int *to = &first; static int **chain = &to; static struct { int *p; int (*f)(int); const char *s; } all = {&first, id, "text"};
  static int ranges[10] = {[2] = 3, [4] = 3, [9] = 4, [0] = 1}; static char text[] = "abc"; static const int many = sizeof ranges / sizeof *ranges;
  **chain += 2; text[0]++; int local[] = {[1] = id(2), [2] = id(2), [5] = first, [0] = *all.p};
  return first + all.f(*to) + (int)strlen(all.s) + ranges[4] + ranges[many - 1] + text[0] + local[2] + local[5] + (int)(sizeof local / sizeof *local) + local[4];
}
static int compound(int k) {
  int *p = (int[]){id(k), id(k + 1), 3}; struct anonymous *s = &(struct anonymous){.kind = id(1), .i = id(2), .named.deep = id(3)}; int s2 = 0;
  for (int i = 0; i < 3; i++) { int *q = (int[2]){id(i), p[i]}; id(1); s2 += q[0] * q[1]; q[1]++; s2 += q[1]; }
  p[2] += id(4); s->lo++; id(0); return p[0] + p[1] + p[2] + s->kind + s->i + s->named.deep + s2 + ((struct anonymous){.i = id(8)}).i + *&(int){id(9)};
}
static int qualifiers(void) {
  volatile struct anonymous v = {.kind = 1, .i = id(2)}; const volatile int cv = id(3); volatile int *vp = &v.i; register int r asm("r12") = 0; register struct anonymous rs = {id(4)};
  const int *const cp = &cv ? (const int *)&cv : 0; (*vp)++; v.kind += id(1); int *restrict rp = malloc(sizeof *rp); *rp = id(5); auto int au = id(6); int long unsigned lu = 7; long const static ls = 8;
  int out = v.kind + v.i + cv + rs.kind + *cp + *rp + au + (int)lu + (int)ls + r; free(rp); return out;
}
static int flexibles(void) {
  struct flexible *f = malloc(sizeof *f + 4 * sizeof(int)); f->count = id(4); for (int i = 0; i < f->count; i++) f->item[i] = id(i * i); struct zero z = {id(3)}; struct empty e, e2 = {}; e = e2; (void)e;
  static struct flexible fixed = {2, {10, 20}}; int s = f->item[3] + z.count + fixed.item[id(1)] + (int)sizeof e; free(f); return s;
}
static int layouts(void) {
  struct packed p = {'c', id(1), id(2), id(3)}; struct attr a = {'x', id(4)}; struct aligned al = {'y', id(5)}; _Alignas(64) char buffer[3] = {id(1)}; int x __attribute__((aligned(128))) = id(6), *px = &x;
  id(0); p.i += a.l; return p.i + p.s + (int)p.d + al.i + (int)((size_t)&al % 32) + (int)((size_t)buffer % 64) + (int)((size_t)px % 128) + buffer[0] + (int)_Alignof(struct aligned) + (int)offsetof(struct packed, d);
}
static int bitfields(void) {
  struct { unsigned a : 1, : 3, b : 4; int : 0; int c : 9; enum color e : 4; unsigned char d : 2; _Bool t : 1; } s = {id(1), id(15), id(-100), id(BLUE), 2, id(1)}, *p = &s;
  s.a ^= id(1); p->b -= id(3); s.c += id(-50); p->d++; s.d += id(1); s.t = id(0) || s.b; return s.a + s.b * 10 + s.c * 100 + s.e + s.d + s.t;
}
static int generics(int x) {
  double d = id(x); return _Generic(d, int: 1, double: 2, default: 3) + _Generic(id(x), int: id(4), default: id(5)) + _Generic((x), int: twice, default: id)(id(3)) + _Generic(&x, int *: ({ id(6); }), default: 0);
}
int main(void) {
  int m[3][4] = {{1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10, 11, 12}}, cube[2][3][4] = {{{0}, {0, 0, 5}}, {{0}, {0}, {0, 0, 0, 9}}}, out; short sh[] = {1, 2}; struct anonymous an = {.i = 5};
  printf("%d %d %d %d %d %d\n", tentative, common_one, forward[2], table[id(1)](3), chooser(1)(1)(5), chooser(0)(0)(5));
  printf("%d %d %d %d %d %d\n", sum_rows(3, 4, m), sum_pointer(m, 3), sum_cube(cube), at_least((int[]){1, 2, id(3)}, &n, &out) > 0, takes_function(id, twice), unnamed(1, 2, "abc"));
  printf("%d %d %d\n", knr('a', 2.5f, sh, &an), knr_default(id(5)), implicit(id(4)));
  local_things(3);
  printf("%d %d %d %d %d %d %d %d %d\n", shadows(1), references(), references(), compound(2), qualifiers(), flexibles(), layouts(), bitfields(), generics(5));
  printf("%d\n", n);
  return 0;
}
static int later(int x) { return id(x) + 1000; }
int declared_late = 77;
