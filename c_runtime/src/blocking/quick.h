/*
 * The first issue of a call, made without a description of the call: all that nearly every call needs. Only if it is
 * left without a result is the call described and run (call.h), from where this issue was left.
 */
#ifndef UPS_BLOCKING_QUICK_H
#define UPS_BLOCKING_QUICK_H

#include "call.h"

#include "../runtime.h"

#pragma GCC visibility push(hidden)

/* What a description needs to know of the moment at which the call began. */
struct ups_quick {
  uint32_t seen_any, seen_interrupting; /* as in struct ups_handlers_run */
  uint32_t ticks_low, ticks_high;
};

/* See arch/x86_64/cp.S. A call that keeps all registers but those that a system call loses: so nothing of its caller has
 * to be put away for it. (The runtime is compiled without a red zone.) */
static inline long ups_cp_quick(long number, const volatile uint32_t *stop, long a, long b, long c, long d, long e, long f) {
  register long fourth __asm__("r10") = d;
  register long fifth __asm__("r8") = e;
  register long sixth __asm__("r9") = f;
  __asm__ volatile("call ups_cp_quick"
                   : "+a"(number), "+c"(stop)
                   : "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth), "r"(sixth)
                   : "r11", "memory", "cc");
  return number;
}

/* Goes on with a call that ups_quick_issue has left with UPS_CP_STOPPED. `call` is described as it would be for
 * ups_call_run, now; the time since the first issue is taken off its deadline. What the C function returns. */
long ups_quick_go_on(struct ups_call *call, const struct ups_quick *quick);

/* Goes on with a transfer of `wanted` bytes of which `result` were done at first, `issued` at the most. */
long ups_quick_rest(struct ups_call *call, const struct ups_quick *quick, long result, uint64_t issued, uint64_t wanted);

/* Describes how a call goes on of which the first issue was left; `quick` is null if there was none. Not in the way of
 * calls that need it not: it would take registers for the arguments. */
#define UPS_SLOW static __attribute__((noinline, cold))

static inline long ups_quick_run(struct ups_call *call, const struct ups_quick *quick) {
  return quick ? ups_quick_go_on(call, quick) : ups_call_run(call);
}

/* What the first issue has to give back, or UPS_CP_STOPPED. */
long ups_quick_settle(long result);

/* An int as an argument for the kernel, which does not look at the upper half: it stays in the register that it is in. */
static inline long ups_quick_int(int value) {
  long argument;
  __asm__("" : "=r"(argument) : "0"(value));
  return argument;
}

/* Can calls be made this way? Not by threads that are not ours, either. */
static inline bool ups_quick_possible(void) { return ups_self && !ups_quick_off; }

/* The system call's result (-errno), or UPS_CP_STOPPED. Afterwards ups_cp_place says if it was cut short. */
static inline long ups_quick_issue(struct ups_quick *quick, long number, long a, long b, long c, long d, long e, long f) {
  memcpy(quick, (const void *)&ups_handlers_run, sizeof ups_handlers_run);
  /* With rdx, the third argument, as it was. */
  __asm__ volatile("movq %%rdx, %%r11\n\trdtsc\n\tmovl %%eax, %0\n\tmovl %%edx, %1\n\tmovq %%r11, %%rdx"
                   : "=m"(quick->ticks_low), "=m"(quick->ticks_high)
                   :
                   : "rax", "r11");
  ups_cp_place = UPS_PLACE_ELSEWHERE;
  return ups_cp_quick(number, (const volatile uint32_t *)&ups_self->attention, a, b, c, d, e, f);
}

/* Is that all there is to do? */
static inline bool ups_quick_done(long result) { return __builtin_expect(result >= 0 && !ups_self->owes_stop, 1); }

#pragma GCC visibility pop

#endif
