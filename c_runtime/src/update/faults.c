/*
 * Faults on order (tests/stress/faults.py). One order at a time; it is used up by its step, or forgotten with the
 * conversation in which it was given.
 */
#include "faults.h"

#include <stdlib.h>
#include <time.h>

enum action { KILL = 1, SLEEP, REFUSE, LATE }; /* LATE: the upper bits are milliseconds */

static enum ups_step ordered;
static uint64_t ordered_action;

bool ups_fault_order(uint64_t step, uint64_t action) {
  if (getenv("UPSTARE_FAULTS") == NULL) return false;
  ordered = (enum ups_step)step;
  ordered_action = action;
  return true;
}

void ups_fault_forget(void) {
  ordered = 0;
}

bool ups_fault(enum ups_step step) {
  if (ordered != step) return false;
  uint64_t action = ordered_action;
  ordered = 0;
  switch ((enum action)(action & 0xff)) {
    case KILL: syscall(SYS_kill, getpid(), SIGKILL); break;
    case SLEEP: syscall(SYS_kill, getpid(), SIGSTOP); break;
    case REFUSE: return true;
    case LATE: {
      struct timespec time = {(time_t)((action >> 8) / 1000), (long)((action >> 8) % 1000 * 1000000)};
      nanosleep(&time, NULL);
      break;
    }
  }
  return false;
}
