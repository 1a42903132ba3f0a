/*
 * How long the ticks of the processor are is found out when it is needed, from the time and the ticks since the program's
 * start.
 */
#include "ticks.h"

#include "direct.h"

#include <time.h>
#include <x86intrin.h>

static struct {
  uint64_t ticks;
  struct timespec time;
} start;

/* Names of the C library that every process looks for cost more than a system call. */
__attribute__((constructor)) static void note_start(void) {
  ups_direct(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&start.time, 0, 0);
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
