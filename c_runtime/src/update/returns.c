/*
 * Returns while a stack comes down (scheme `trap`).
 *
 * The walk that found a stack complete has seen every return address on it. When the stack is to come down, those with
 * a point right behind the call are replaced by the address of ups_return_trampoline (stack.S). So the dummy return of
 * a frame leads here instead of to the trap at its caller's point, at a fraction of a trap's price. All other points
 * (of inlined functions, or some instructions behind the call) still trap.
 *
 * Nothing puts the addresses back: a stack that began to come down comes down, and is rebuilt by resume clones.
 */
#define _GNU_SOURCE
#include <sys/syscall.h>

#include "runtime.h"

#define RETURNS_FIRST 128u
#define SHADOW_STACK_STATUS 0x5005 /* ARCH_SHSTK_STATUS of arch_prctl; bit 0: enabled */

_Static_assert(REG_R8 == 0 && REG_R15 == 7 && REG_RDI == 8 && REG_RSI == 9 && REG_RBP == 10 && REG_RBX == 11 &&
                   REG_RDX == 12 && REG_RAX == 13 && REG_RCX == 14 && REG_RSP == 15 && REG_RIP == 16,
               "arch/x86_64/stack.S stores the registers in this order");

/* Where the processor keeps a second copy of each return address, none may be changed. */
static bool shadow_stack(void) {
  static _Atomic(int) known; /* 1 no, 2 yes */
  int state = atomic_load_explicit(&known, memory_order_relaxed);
  if (state == 0) {
    uint64_t features = 0;
    state = syscall(SYS_arch_prctl, SHADOW_STACK_STATUS, &features) == 0 && (features & 1) != 0 ? 2 : 1;
    atomic_store_explicit(&known, state, memory_order_relaxed);
  }
  return state == 2;
}

void ups_return_note(struct ups_thread *self, const struct ups_image *image, const struct upstare_point *point,
                     uintptr_t slot) {
  uintptr_t address = point->address + image->bias;
  if (point->label == 0 || *(const uintptr_t *)slot != address) return;
  if (self->n_returns == self->room_returns) {
    uint32_t room = self->room_returns ? self->room_returns * 2 : RETURNS_FIRST;
    struct ups_return *more = ups_map(room * sizeof *more);
    if (more == NULL) return; /* its point traps */
    if (self->n_returns != 0) memcpy(more, self->returns, self->n_returns * sizeof *more);
    ups_unmap(self->returns);
    self->returns = more;
    self->room_returns = room;
  }
  self->returns[self->n_returns++] = (struct ups_return){slot, image, point};
}

void ups_returns_take(struct ups_thread *self) {
  self->next_return = 0;
  if (shadow_stack()) self->n_returns = 0;
  for (uint32_t i = 0; i < self->n_returns; i++)
    *(uintptr_t *)self->returns[i].slot = (uintptr_t)ups_return_trampoline;
}

/* From the trampoline, on the runtime's stack: the general registers up to the instruction pointer, which comes back
 * changed, and the vector registers. */
void ups_returned(uint64_t *machine, const struct _libc_xmmreg *xmm);

void ups_returned(uint64_t *machine, const struct _libc_xmmreg *xmm) {
  struct ups_thread *self = ups_self;
  struct _libc_fpstate vectors;
  ucontext_t context;
  greg_t *gregs = context.uc_mcontext.gregs;
  memcpy(gregs, machine, (REG_RIP + 1) * sizeof *machine);
  memcpy(vectors._xmm, xmm, sizeof vectors._xmm);
  context.uc_mcontext.fpregs = &vectors;
  const struct ups_return *r = NULL;
  while (self->next_return < self->n_returns) {
    r = &self->returns[self->next_return++];
    if (r->slot == (uintptr_t)gregs[REG_RSP] - sizeof(uintptr_t)) break;
    r = NULL;
  }
  if (r == NULL) __builtin_trap(); /* a return from a frame that the walk did not see */
  ups_point_unroll(self, &context, r->image, r->point);
  machine[REG_RIP] = (uint64_t)gregs[REG_RIP];
}
