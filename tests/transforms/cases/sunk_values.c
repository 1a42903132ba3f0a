/* A point of several chunks, of which only the last saves what the compiler knows that nobody needs: it computes that
 * between the chunks, and calls a function for it. */
#include <poll.h>
#include <stdio.h>

static int turns;

__attribute__((noinline)) static void turn(int n) {
  turns += n;
  poll(NULL, 0, 0);
}

__attribute__((const, noinline)) static unsigned mix(unsigned x) { return (x ^ x >> 7) * 2654435761u; }

static int never(void) { return 0; }

#define EACH(V) \
  V(0) V(1) V(2) V(3) V(4) V(5) V(6) V(7) V(8) V(9) \
  V(10) V(11) V(12) V(13) V(14) V(15) V(16) V(17) V(18) V(19) \
  V(20) V(21) V(22) V(23) V(24) V(25) V(26) V(27) V(28) V(29) \
  V(30) V(31) V(32) V(33) V(34) V(35) V(36) V(37) V(38) V(39)
#define BEFORE(n) unsigned v##n = mix(seed + n);
#define AFTER(n) result = result * 31 ^ v##n;

static unsigned many(unsigned seed) {
  unsigned result = 0;
  EACH(BEFORE)
  unsigned spare = mix(seed + 1000);
  unsigned odd = seed % 3 ? mix(seed + 1001) : seed;
  turn(2);
  EACH(AFTER)
  if (never()) result += spare * odd;
  return result;
}

int main(void) {
  for (unsigned i = 0; i < 4; i++) printf("%u\n", many(i));
  printf("%d\n", turns);
  return 0;
}
