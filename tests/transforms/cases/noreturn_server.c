#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
static int id(int x) { return x; }
static int turns;
static void panic(const char *why) __attribute__((noreturn, cold));
static void panic(const char *why) { printf("panic: %s %d\n", why, id(turns)); fflush(stdout); for (;;) exit(id(7)); }
extern void serve(int limit) __attribute__((__cold__, __noreturn__, __noinline__)), nothing(void);
_Noreturn static void forward(int limit);
static noreturn void both(const char *name, int limit) { printf("%s\n", name); forward(id(limit)); }
static void forward(int limit) { int kept[2] = {id(limit), 0}; serve(kept[0] + kept[1]); }
void serve(int limit) {
  int sum = 0;
  for (;;) { sum += id(turns++); if (turns > limit) { printf("sum %d\n", sum); if (limit > 5) panic("enough"); exit(id(3)); } }
}
void nothing(void) {}
/* What falls through after a call that never returns. */
static int start(int argc) { if (argc > 1) serve(id(3)); else both("both", id(9)); }
int main(int argc, char **argv) { int before = id(argc); if (before > 100) panic("never"); start(before); }
