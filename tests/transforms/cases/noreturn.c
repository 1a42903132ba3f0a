#include <stdio.h>
#include <stdlib.h>
static int id(int x) { return x; }
static void finish(int code) __attribute__((noreturn));
static void finish(int code) { int c = id(code); printf("ends with %d\n", c); for (int i = 0; i < 3; i++) c += id(i); exit(c); }
static int check(int x) { if (x > 3) { printf("too much: %d\n", id(x)); finish(id(2)); } return id(x) + 1; }
int main(void) { int s = 0; for (int i = 0; i < 9; i++) s += check(i); printf("never %d\n", s); return 0; }
