#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
typedef int (*op)(int, int);
static int add(int a, int b) { return a + b; }
static int mul(int a, int b) { return a * b; }
static const op ops[] = {add, mul};
struct vtable { op first; const char *name; } static const vt = {mul, "mul"};
static op pick(int i) { return ops[i & 1]; }
static int compare(const void *a, const void *b) { int x = *(const int *)a, y = *(const int *)b; return add(x, -y); }
static int sum(int n, ...) { va_list ap; int total = 0; va_start(ap, n); for (int i = 0; i < n; i++) total += va_arg(ap, int); va_end(ap); return add(total, 0); }
static int old_style(a, b, s) int a; char b; const char *s; { return add(a, b) + (int)strlen(s); }
static inline int inlined(int x) { int y = add(x, 1); return mul(y, y); }
static int even(int n); static int odd(int n) { return n == 0 ? 0 : even(n - 1); } static int even(int n) { return n == 0 ? 1 : odd(n - 1); }
static long fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
static void nothing(int *p) { if (!p) return; *p = add(*p, 1); }
struct node { struct node *next; int v; };
static int walk(struct node *n) { int s = 0; while (n) { s = add(s, n->v); n = n->next; } return s; }
static int literal(const int *v, int n) { int s = 0; for (int i = 0; i < n; i++) s = add(s, v[i]); return s; }
static int deep(int n, int *acc) { int here = n; int arr[3] = {n, n, n}; if (n == 0) return *acc; *acc += arr[n % 3]; int r = deep(n - 1, &here); return r + here; }
int main(int argc, char **argv) {
  int v[] = {5, 3, 9, 1}, x = 0;
  qsort(v, 4, sizeof *v, compare);
  nothing(&x); nothing(NULL);
  struct node c = {NULL, 3}, b = {&c, 2}, a = {&b, 1};
  printf("%d %d %d %d %d %d %d %ld %d %d %d %d\n", v[0], v[3], pick(1)(3, 4), vt.first(5, 6), sum(3, 1, 2, 3), old_style(1, 2, "abc"),
    inlined(4), fib(10), even(9), x, walk(&a), literal((int[]){1, 2, add(1, 2)}, 3));
  printf("%d %d %s %d\n", pick(0) == add, vt.first == mul, argv[0] ? "yes" : "no", deep(20, &x) + argc);
  return 0;
}
