/* A library with state, whose one function never returns. */
#include "counter.h"
#include <stdio.h>
#include <unistd.h>

#ifdef NEW
struct tally { long rounds; long sum; const char *unit; } tally;
#else
struct tally { int rounds; int sum; } tally;
#endif
static int private_calls;

static void show(void) {
  private_calls++;
#ifdef NEW
  if (tally.unit == NULL) tally.unit = "g";
  long lost = tally.rounds - private_calls;
  printf("new library: round %ld sum %ld%s lost %ld\n", tally.rounds, tally.sum, tally.unit, lost);
#else
  printf("old library: round %d sum %d lost %d\n", tally.rounds, tally.sum, tally.rounds - private_calls);
#endif
}

void count_for_ever(int (*weigh)(int)) {
  char buffer[8];
  for (;;) {
    if (read(0, buffer, sizeof buffer) <= 0) _exit(0);
    tally.rounds++;
    tally.sum += weigh(tally.rounds);
    show();
  }
}
