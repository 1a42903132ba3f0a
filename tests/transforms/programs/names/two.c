#include "shared.h"
int tentative;
int replaced(int x) { return step(x) + step(2); }
int other_name(int x) { return step(x) + 7; }
int from_alias(int x) __attribute__((alias("other_name")));
static int local(int x) { static const int x0 = 3, *p = &x0; return step(x) * *p; }
static int constant(void) { static const int table[] = {4, 5, 6}; const int *p = table; int s = step(0); return s + (p == table) + p[2]; }
int gnu(int x) { return step(x) * 2; }
extern inline int c99(int x);
int (*const table[])(int) = {replaced, other_name, fallback, c99};
const struct options defaults = {.name = "none", .level = 3};
int two(int x) { tentative += step(1); per_thread++; return local(x) + constant() + gnu(x) + c99(x) + replaced(x); }
