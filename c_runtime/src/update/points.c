/*
 * Update points.
 *
 * Scheme `trap`: a point is a no-op of one byte, or a prefix without a meaning of the instruction behind it. While an
 * update is pending (or in a storm, always) these bytes are breakpoint instructions, and the handler of SIGTRAP (wake.c)
 * asks here. The first byte of an instruction can be changed into a breakpoint and back under running threads: they see
 * the old one or the new one. A thread may still take a trap that was just disarmed; in any case it goes on behind the
 * byte, where an instruction begins.
 *
 * Scheme `flag`: generated code tests upstare_flag and calls upstare_at_point, upstare_save, upstare_save_kept.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "blocking.h"
#include "proc.h"
#include "runtime.h"

#define NOP 0x90u
#define PREFIX 0x26u /* ES, which has no meaning */
#define BREAKPOINT 0xccu
#define PAGE ((uintptr_t)4096)

UPS_PUBLIC volatile int upstare_flag;

/* ---- Operands ----------------------------------------------------------------------------------------------------------- */

/* Register numbers of the encoding, as indices into gregs. */
static const int registers[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static uintptr_t thread_pointer(void) {
  uintptr_t fs;
  __asm__("movq %%fs:0, %0" : "=r"(fs)); /* the ABI keeps the base of the segment at its start */
  return fs;
}

/* The address that a memory operand stands for. */
static uintptr_t operand_address(const struct upstare_operand *o, const ucontext_t *context,
                                 const struct ups_image *image) {
  const greg_t *gregs = context->uc_mcontext.gregs;
  if (o->place == UPSTARE_MEM_RIP) return (uintptr_t)o->value + image->bias;
  uintptr_t address = (uintptr_t)o->value;
  if (o->place == UPSTARE_MEM_FS) address += thread_pointer();
  if (o->base != 0xff) address += (uintptr_t)gregs[registers[o->base]];
  if (o->index != 0xff) address += (uintptr_t)gregs[registers[o->index]] * o->scale;
  return address;
}

static uint64_t register_value(const struct upstare_operand *o, const ucontext_t *context) {
  uint64_t value = (uint64_t)context->uc_mcontext.gregs[registers[o->base]];
  return o->high ? value >> 8 : value;
}

/* Captures one operand. Sizes and offsets were checked when the table was opened. */
static void capture(struct ups_chunk **arena, struct ups_frame *frame, const struct upstare_operand *o,
                    const ucontext_t *context, const struct ups_image *image) {
  uint64_t value;
  unsigned char *slot = frame->data + o->offset;
  switch (o->place) {
    case UPSTARE_REG: value = register_value(o, context); break;
    case UPSTARE_IMM: value = (uint64_t)o->value; break;
    case UPSTARE_XMM: memcpy(slot, &context->uc_mcontext.fpregs->_xmm[o->base], o->size); return;
    default: {
      uintptr_t address = operand_address(o, context, image);
      if (o->kind == UPSTARE_OBJECT) {
        value = address;
      } else if (o->kind == UPSTARE_POINTER) {
        memcpy(&value, (const void *)address, sizeof value);
      } else {
        memcpy(slot, (const void *)address, o->size);
        return;
      }
    }
  }
  if (o->kind == UPSTARE_VALUE)
    memcpy(slot, &value, o->size);
  else if (o->kind == UPSTARE_MEMORY)
    memcpy(slot, (const void *)value, o->size); /* its address is in a register, or constant */
  else
    ups_frame_keep(arena, frame, o->offset, value, o->size, o->sort);
}

/* The frame that goes on being captured: part 0 ends it. */
static struct ups_frame *capture_point(struct ups_chunk **arena, struct ups_frame *frame,
                                       const struct upstare_point *point, const ucontext_t *context,
                                       const struct ups_image *image) {
  const struct ups_table *t = atomic_load_explicit(&image->table, memory_order_acquire);
  const struct upstare_function *f = ups_image_function(image, point->function);
  if (frame == NULL || frame->position.function != point->function || frame->position.point != point->point ||
      frame->part != point->part + 1)
    frame = ups_frame_new(arena, point->function, point->point, f->frame_size);
  if (frame == NULL) return NULL;
  frame->part = point->part;
  for (uint32_t i = 0; i < point->n_operands; i++)
    capture(arena, frame, &t->operands[point->operand + i], context, image);
  return frame;
}

/* ---- At a point --------------------------------------------------------------------------------------------------------- */

/* The stack is complete: may (stop) or shall (storm) the thread be unrolled? */
static bool agreed(struct ups_thread *self, enum ups_want want) {
  if (want == UPS_WANT_STORM) return ups_frames_reserve(self);
  return ups_frames_reserve(self) && ups_park(self);
}

struct trap {
  struct ups_thread *self;
  ucontext_t *context;
  const struct ups_image *image;
  const struct upstare_point *point;
  int32_t index;
  int error;
};

static void unrolled_frame(struct trap *trap) {
  struct ups_thread *self = trap->self;
  struct ups_frame *frame = capture_point(&self->arena, self->partial, trap->point, trap->context, trap->image);
  self->partial = trap->point->part > 0 ? frame : NULL; /* the next chunk is at the label */
  if (trap->point->part == 0) ups_frame_link(self, frame);
  trap->context->uc_mcontext.gregs[REG_RIP] = (greg_t)(trap->point->label + trap->image->bias);
}

void ups_point_unroll(struct ups_thread *self, ucontext_t *context, const struct ups_image *image,
                      const struct upstare_point *point) {
  struct trap trap = {self, context, image, point, -1, 0};
  unrolled_frame(&trap);
}

static void point_reached(struct trap *trap) {
  struct ups_thread *self = trap->self;
  uintptr_t sp = (uintptr_t)trap->context->uc_mcontext.gregs[REG_RSP];
  enum ups_want want = ups_wanted(self);
  if (want == UPS_WANT_NOTHING || !ups_attempt_due(self, sp)) return;
  if (ups_walk_trap(self, trap->context, trap->image, (uint32_t)trap->index) != UPS_WALK_COMPLETE) {
    ups_attempt_failed(self, sp, want);
    return;
  }
  if (!agreed(self, want)) return;
  ups_unroll_begin(self, trap->context, NULL, trap->error, want == UPS_WANT_STORM);
  unrolled_frame(trap);
}

static int trapped(void *argument, void *b, void *c) {
  struct trap *trap = argument;
  (void)b;
  (void)c;
  if (atomic_load_explicit(&trap->self->unrolling, memory_order_relaxed))
    unrolled_frame(trap);
  else
    point_reached(trap);
  return 0;
}

static bool on_scratch(const struct ups_thread *self) {
  uintptr_t here = (uintptr_t)__builtin_frame_address(0);
  return here >= self->scratch_low && here < self->scratch_high;
}

bool ups_point_trapped(ucontext_t *context, int error) {
  uintptr_t address = (uintptr_t)context->uc_mcontext.gregs[REG_RIP] - 1;
  const struct ups_image *image = ups_image_at(address);
  struct trap trap = {ups_self, context, image, NULL, image == NULL ? -1 : ups_image_point(image, address), error};
  if (trap.index < 0) return false;
  trap.point = &atomic_load_explicit(&image->table, memory_order_acquire)->points[trap.index];
  struct ups_thread *self = trap.self;
  if (self == NULL || !ups_thread_is_self(self) || !ups_thread_scratch(self)) {
    /* Not a thread that can be rebuilt: it goes on behind the point. */
  } else if (on_scratch(self)) {
    trapped(&trap, NULL, NULL);
  } else {
    ups_call_on(self->scratch_high, trapped, &trap, NULL, NULL);
  }
  return true;
}

/* ---- Scheme `flag` ------------------------------------------------------------------------------------------------------ */

int ups_at_point(void);
unsigned char *ups_save(uint64_t function, uint32_t point, uint32_t size);
void ups_save_kept(unsigned char *data, uint32_t offset, const void *address, uint64_t size, uint32_t sort);

/* upstare_at_point, of a thread that is not being unrolled (see stack.S). */
int ups_at_point(void) {
  struct ups_thread *self = ups_self;
  int error = errno;
  uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
  sigset_t mask;
  enum ups_want want = ups_wanted(self);
  if (want == UPS_WANT_NOTHING || !ups_attempt_due(self, sp) || !ups_thread_is_self(self)) return 0;
  ups_signals_block(&mask);
  bool go = false;
  if (ups_walk_call(self, true) != UPS_WALK_COMPLETE)
    ups_attempt_failed(self, sp, want);
  else
    go = agreed(self, want);
  if (go)
    ups_unroll_begin(self, NULL, &mask, error, want == UPS_WANT_STORM);
  else
    ups_signals_restore(&mask);
  errno = error;
  return go;
}

unsigned char *ups_save(uint64_t function, uint32_t point, uint32_t size) {
  struct ups_frame *frame = ups_frame_new(&ups_self->arena, function, point, size);
  ups_frame_link(ups_self, frame);
  return frame->data;
}

void ups_save_kept(unsigned char *data, uint32_t offset, const void *address, uint64_t size, uint32_t sort) {
  struct ups_thread *self = ups_self;
  (void)data; /* always of the frame that is being saved */
  ups_frame_keep(&self->arena, self->outermost, offset, (uintptr_t)address, size, sort);
}

/* ---- Blocking calls ----------------------------------------------------------------------------------------------------- */

/* A stop, or a storm, at a call of the runtime. */
static bool at_call(struct ups_thread *self, enum ups_want want) {
  sigset_t mask;
  int error = errno;
  bool go = false;
  uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
  ups_signals_block(&mask);
  if (ups_agent_wanted()) ups_agent_start();
  if (want != UPS_WANT_NOTHING && ups_thread_is_self(self)) {
    if (ups_walk_call(self, false) != UPS_WALK_COMPLETE)
      ups_attempt_failed(self, sp, want);
    else
      go = agreed(self, want);
  }
  if (go)
    ups_unroll_begin(self, NULL, &mask, error, want == UPS_WANT_STORM);
  else
    ups_signals_restore(&mask);
  errno = error;
  return go;
}

bool ups_blocking_point(void) {
  struct ups_thread *self = ups_self;
  if (self == NULL || (ups_storm_every == 0 && !ups_agent_wanted())) return false;
  enum ups_want want = ups_wanted(self);
  /* A stop comes with the attention word set: the region sees it. */
  if (want == UPS_WANT_STORM || ups_agent_wanted()) return at_call(self, want);
  return false;
}

bool ups_blocking_stop(void) {
  struct ups_thread *self = ups_self;
  if (self == NULL) return false;
  /* Cleared before we look at what is wanted: whoever wants something later sets it again (seq_cst on both sides). */
  atomic_store(&self->attention, 0);
  enum ups_want want = ups_wanted(self) == UPS_WANT_STOP ? UPS_WANT_STOP : UPS_WANT_NOTHING;
  bool go = at_call(self, want);
  /* Perhaps not here (a frame that cannot be left), but the next call may wait for long, and nobody signals again. */
  self->owes_stop = !go && want == UPS_WANT_STOP;
  return go;
}

/* ---- Arming ------------------------------------------------------------------------------------------------------------- */

/* What the page shall look like goes to `bytes`; the number of points in it that are to change. */
static uint32_t edit_page(const struct ups_image *image, const struct ups_table *t, uint32_t *next, uintptr_t page,
                          unsigned char *bytes, bool on) {
  uint32_t changes = 0;
  memcpy(bytes, (const void *)page, PAGE);
  for (; *next < t->header->n_points; ++*next) {
    uintptr_t address = t->points[*next].address + image->bias;
    if (address >= page + PAGE) break;
    if (t->points[*next].label == 0) continue;
    unsigned char *byte = &bytes[address - page];
    unsigned char without = t->points[*next].flags & UPSTARE_POINT_PREFIX ? PREFIX : NOP;
    if (*byte == (on ? without : BREAKPOINT)) {
      *byte = on ? BREAKPOINT : without;
      changes++;
    }
  }
  return changes;
}

static bool write_page(int memory, uintptr_t page, const unsigned char *bytes) {
  if (memory >= 0 && pwrite(memory, bytes, PAGE, (off_t)page) == (ssize_t)PAGE) return true;
  /* No /proc (a chroot), or not ours any more (the process changed its user). Still executable all the time. */
  if (mprotect((void *)page, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) return false;
  volatile unsigned char *to = (volatile unsigned char *)page;
  for (uintptr_t i = 0; i < PAGE; i++)
    if (to[i] != bytes[i]) to[i] = bytes[i];
  mprotect((void *)page, PAGE, PROT_READ | PROT_EXEC);
  return true;
}

uint32_t ups_points_arm(struct ups_image *image, bool on) {
  const struct ups_table *t = atomic_load_explicit(&image->table, memory_order_acquire);
  if (t == NULL || t->header->scheme == UPSTARE_SCHEME_FLAG) return 0;
  unsigned char *bytes = ups_map(PAGE);
  if (bytes == NULL) return t->header->n_points;
  int memory = ups_proc_open("mem", O_RDWR);
  uint32_t failed = 0, next = 0;
  atomic_store(&image->armed, on);
  while (next < t->header->n_points) {
    uintptr_t page = (t->points[next].address + image->bias) & ~(PAGE - 1);
    uint32_t changes = edit_page(image, t, &next, page, bytes, on);
    if (changes != 0 && !write_page(memory, page, bytes)) failed += changes;
  }
  if (memory >= 0) close(memory);
  ups_unmap(bytes);
  return failed;
}
