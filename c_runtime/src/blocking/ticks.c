/*
 * How long the ticks of the processor are is found out when it is needed, from the time and the ticks since the program's
 * start.
 */
#include "ticks.h"

#include <time.h>
#include <x86intrin.h>

static struct {
  uint64_t ticks;
  struct timespec time;
} start;

__attribute__((constructor)) static void note_start(void) {
  clock_gettime(CLOCK_MONOTONIC, &start.time);
  start.ticks = __rdtsc();
}

static double seconds(struct timespec time) { return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec; }

double ups_ticks_elapsed(uint64_t ticks) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  double whole = seconds(now) - seconds(start.time), all = (double)(__rdtsc() - start.ticks);
  double part = (double)(int64_t)(__rdtsc() - ticks);
  if (all <= 0 || part <= 0)
    return 0;
  return part < all ? whole * part / all : whole;
}
