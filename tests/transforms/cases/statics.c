#include <stdio.h>
enum { LIMIT = 3 };
static int counter;
static int next(void) { static int n = 10, m; static const char *names[] = {"a", "b", "c"}; n += 2; m++; printf("%s %d %d %s\n", names[m % 3], n, m, __func__); return n; }
static int other(void) { static int n; { static int n = 5; n++; counter += n; } return ++n; }
static int *pointer(void) { static int cell = LIMIT; return &cell; }
static int table(int k) { static int (*ops[])(void) = {next, other}; return ops[k & 1](); }
int main(void) { int s = 0; for (int i = 0; i < 5; i++) { s += next() + other() + table(i); ++*pointer(); } printf("%d %d %d\n", s, counter, *pointer()); return 0; }
