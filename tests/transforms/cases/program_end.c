/* exit from depth, atexit and on_exit handlers with points, constructors and destructors. */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
static int n;
static int id(int x) { n++; return x; }
__attribute__((constructor)) static void first(void) { for (int i = 0; i < 3; i++) id(i); printf("constructor %d\n", n); }
__attribute__((constructor(101))) static void earlier(void) { printf("early %d\n", id(1)); }
__attribute__((destructor)) static void last(void) { printf("destructor %d\n", id(2)); fflush(stdout); }
static void bye(void) { for (int i = 0; i < 2; i++) printf("bye %d\n", id(i)); }
static void with_code(int code, void *text) { printf("%s %d\n", (char *)text, id(code)); }
static int deep(int k) { int array[2] = {k, id(k)}; if (k == 0) exit(id(17)); return deep(k - 1) + array[1]; }
int main(void) { atexit(bye); on_exit(with_code, "on_exit"); bye(); return deep(id(20)); }
