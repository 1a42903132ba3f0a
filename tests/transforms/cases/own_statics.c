/* State in static locals whose type is the function's own: in functions with points, without, and inlined ones. */
#include <stdio.h>
#include <unistd.h>

static inline int small(int by) { static struct { int n; } own __attribute__((aligned(32))) = {1}; own.n += by; return own.n; }

static int counted(int by) {
  enum { STEP = 2 };
  struct own { int sum, calls; struct own *self; };
  static struct own state, many[STEP], *const at = &state;
  static int twice[sizeof(struct own) > 8 ? STEP : 1];
  if (state.self && state.self != &state) return -1;
  state.self = &state;
  at->sum += by;
  many[by & 1].calls++;
  twice[1] += by;
  return state.sum + many[0].calls + 10 * many[1].calls + twice[1];
}

static const void *place(void) { static const struct { int x; } one = {1}; return &one; }

static int walk(int depth) {
  const void *here = place();
  if (depth == 0) return counted(1);
  int below = walk(depth - 1);
  usleep(1);
  return here == place() ? below + counted(depth) + small(depth) : -1000000;
}

int main(void) {
  int sum = 0;
  for (int i = 0; i < 10; i++) sum += walk(i % 4);
  printf("%d %d %d\n", sum, counted(0), small(0));
  return 0;
}
