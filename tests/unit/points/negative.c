/* What must not get into a point table; every function is named for what must not be found in it. */
#include "notes.h"

extern int opaque(int);
extern int die(int) __attribute__((noreturn));
int global;
volatile int condition;
int (*pointer)(void);
static __attribute__((__used__)) int hidden_variable;

RESUME(0000000000000001)
RESUME(0000000000000002)

/* Can be unrolled. */
NOINLINE int unrolls(int n) {
  for (int i = 0; condition; i++)
    POINT("0000000000000001", 1, 2, 1, V(0, 1, 4), "nor"(n));
  return n;
  DUMMY(int)
}

/* The calls here have no point after them, or not straight after. */
NOINLINE int mistyped(int n) {
  int r = ((int (*)(int))(void *)pointer)(n);
  global = r;
  return n;
}
NOINLINE int stores(int n) {
  global = opaque(n);
  unrolls(n);
  return n + 1;
}
NOINLINE int stores_by_address(int n) {
  n = unrolls(n);
  __asm__ volatile("lea hidden_variable(%%rip), %%rdx\n\tmovl $1, (%%rdx)" : : : "rdx", "memory");
  return n;
}
NOINLINE int converts(int n) { return (signed char)unrolls(n); }
NOINLINE int dereferences(int n) { return *(int *)(long)unrolls(n); }
NOINLINE int divides(int n) { return 100 / unrolls(n); }
NOINLINE int before_loop(int n) {
  opaque(n);
  for (;;) {
    POINT("0000000000000002", 1, 2, 1, V(0, 1, 4), "nor"(n));
    if (condition)
      break;
  }
  return n;
  DUMMY(int)
}

/* Only in its call is there a return address that leads out. */
NOINLINE int passes_on(int n) {
  volatile char pad[32];
  pad[n & 31] = 1;
  global = pad[n & 31];
  return unrolls(n);
}

int use(int n) {
  return mistyped(n) + stores(n) + stores_by_address(n) + converts(n) + dereferences(n) + divides(n) + before_loop(n) +
         passes_on(n);
}
