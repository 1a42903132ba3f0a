#include <alloca.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
static int id(int x) { return x; }
static int variable(int n) { int a[n]; for (int i = 0; i < n; i++) a[i] = id(i); return a[n - 1]; }
static int with_alloca(int n) { char *p = alloca(n + 1); memset(p, 'x', n); p[n] = 0; return id((int)strlen(p)); }
static jmp_buf env;
static void thrower(int n) { if (id(n) == 0) longjmp(env, 5); thrower(n - 1); }
static int catcher(void) { volatile int v = 1; int r = setjmp(env); if (r == 0) { v = 2; thrower(4); } return r + v; }
static int computed(int k) { static void *where[] = {&&a, &&b}; goto *where[k & 1]; a: return id(1); b: return id(2); }
int main(void) { printf("%d %d %d %d %d\n", variable(5), with_alloca(6), catcher(), computed(0), computed(1)); return id(0); }
