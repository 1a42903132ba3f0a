/*
 * setjmp in frames that are built again: a buffer leads to a place in the old frame. The resume clone calls setjmp once
 * more, and what that wrote takes the place of what the program's own call wrote, if it is still there.
 */
#define _GNU_SOURCE
#include <sys/syscall.h>

#include "runtime.h"

#define WORDS 8 /* of a jmp_buf that say where it leads: rbx, rbp, r12 to r15, rsp, pc. The signal mask stays. */

/* Whether the program may have freed the memory. The kernel reads the set before it looks at the bad first argument. */
static bool readable(const void *address) {
  int error = errno;
  bool bad = syscall(SYS_rt_sigprocmask, ~0, address, NULL, 8) != 0 && errno == EFAULT;
  errno = error;
  return !bad;
}

UPS_PUBLIC void upstare_rearm(volatile unsigned long *record, const unsigned long *fresh) {
  unsigned long *buffer = (unsigned long *)record[0];
  bool same = readable(buffer) && readable(buffer + WORDS - 1);
  for (int i = 0; same && i < WORDS; i++) same = buffer[i] == record[1 + i];
  if (!same) {
    record[0] = 0;
    return;
  }
  for (int i = 0; i < WORDS; i++) record[1 + i] = buffer[i] = fresh[i];
}
