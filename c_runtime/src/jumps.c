/*
 * setjmp in frames that are built again: a buffer leads to a place in the old frame.
 *
 * Each call of setjmp has a record in its frame, which keeps its address for as long as the frame lives, wherever it is
 * built again. The resume clone calls setjmp once more, for the record. A buffer says in words of its own, which the C
 * library has but does not use (the end of a signal mask that is larger than the kernel's), where its record is; so do
 * all copies of it. Whoever jumps asks the record where to.
 *
 * What the program's own call wrote is brought up to date too, if it is still there: for jumps in libraries.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <sys/syscall.h>

#include "runtime.h"

#define WORDS 8 /* of a jmp_buf that say where it leads: rbx, rbp, r12 to r15, rsp, pc. The signal mask stays. */
#define ALL UPSTARE_JUMP_WORDS
enum { SP = 6, PC = 7, RECORD = ALL - 3, OF_PC, OF_SP }; /* the last two: what was written together with it */

_Static_assert(sizeof(jmp_buf) == ALL * sizeof(unsigned long), "also in transforms/unit.py");

/* Whether the program may have freed the memory. The kernel reads the set before it looks at the bad first argument. */
static bool readable(const void *address) {
  int error = errno;
  bool bad = syscall(SYS_rt_sigprocmask, ~0, address, NULL, 8) != 0 && errno == EFAULT;
  errno = error;
  return !bad;
}

UPS_PUBLIC void upstare_rearm(volatile unsigned long *record, const unsigned long *fresh) {
  unsigned long *buffer = (unsigned long *)record[0];
  bool whole = record[1 + WORDS];
  bool same = readable(buffer) && readable(buffer + (whole ? ALL : WORDS) - 1);
  for (int i = 0; same && i < WORDS; i++) same = buffer[i] == record[1 + i];
  for (int i = 0; i < WORDS; i++) record[1 + i] = fresh[i];
  if (!same) return;
  for (int i = 0; i < WORDS; i++) buffer[i] = fresh[i];
  if (!whole) return;
  buffer[OF_PC] = buffer[PC];
  buffer[OF_SP] = buffer[SP];
}

/* Where a buffer leads today, with its signal mask; `room` is for ALL words. Another setjmp than ours may have written to
 * a buffer that we knew: then it leads elsewhere. */
static unsigned long *today(unsigned long *buffer, unsigned long *room) {
  const unsigned long *record = (const unsigned long *)buffer[RECORD];
  if (record == NULL || buffer[OF_PC] != buffer[PC] || buffer[OF_SP] != buffer[SP]) return buffer;
  unsigned long changed = 0;
  for (int i = 0; i < WORDS; i++) changed |= record[1 + i] ^ buffer[i];
  if (changed == 0) return buffer;
  memcpy(room, buffer, ALL * sizeof *room);
  memcpy(room, record + 1, WORDS * sizeof *room);
  return room;
}

/* Weak: a program that has the linker wrap these itself keeps its own. */
#define JUMP(name)                                                                           \
  extern _Noreturn void __real_##name(unsigned long *, int);                                 \
  UPS_PUBLIC __attribute__((weak)) _Noreturn void __wrap_##name(unsigned long *, int);       \
  UPS_PUBLIC __attribute__((weak)) _Noreturn void __wrap_##name(unsigned long *to, int with) { \
    unsigned long room[ALL];                                                                 \
    __real_##name(today(to, room), with);                                                    \
  }

JUMP(longjmp)
JUMP(_longjmp)
JUMP(siglongjmp)
JUMP(__longjmp_chk)
