/*
 * A stack taken down, and built up again.
 *
 * Frames come down innermost first: a point captures its function's variables, the dummy return takes the frame away,
 * the caller's point does the same. At the base (stack.S) the thread waits for what was decided and starts the resume
 * clone of the outermost frame; each clone fetches its data and starts the next.
 *
 * Objects that keep their address stay where they are, all the time: other threads may be using them. That holds
 * because from the first dummy return on nothing of ours runs on the program's stack (handlers and the base use the
 * thread's runtime stack), and because the stack is built up again below the lowest of them. Where there is too little
 * room left there, a fresh stack is used, until a later rebuilding finds nothing kept in it.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "runtime.h"

#define PAGE ((uintptr_t)4096)
#define FRESH_LEAST ((uintptr_t)256 * 1024)

bool ups_frames_reserve(struct ups_thread *self) {
  ups_arena_reset(&self->arena);
  return ups_thread_scratch(self) && ups_arena_reserve(&self->arena, self->walk_bytes);
}

void ups_unroll_begin(struct ups_thread *self, ucontext_t *context, const sigset_t *mask, int error, bool storm) {
  const stack_t ours = {.ss_sp = (void *)self->scratch_low, .ss_size = self->scratch_high - self->scratch_low};
  memset(&self->mask, 0, sizeof self->mask);
  self->outermost = self->innermost = self->partial = NULL;
  self->error = error;
  self->storming = storm;
  if (context != NULL) {
    sigset_t all;
    ups_signals_all(&all);
    memcpy(&self->mask, &context->uc_sigmask, 8); /* the kernel's set; the frame has no more */
    memcpy(&context->uc_sigmask, &all, 8);
    self->alternate = context->uc_stack;
    context->uc_stack = ours; /* the kernel takes both over when the handler returns */
  } else {
    memcpy(&self->mask, mask, 8);
    sigaltstack(&ours, &self->alternate);
  }
  ups_returns_take(self);
  /* Only this thread and its handlers look at it. */
  atomic_store_explicit(&self->unrolling, 1, memory_order_relaxed);
}

struct ups_frame *ups_frame_new(struct ups_chunk **arena, uint64_t function, uint32_t point, uint32_t size) {
  struct ups_frame *frame = ups_arena_take(arena, sizeof *frame);
  unsigned char *data = ups_arena_take(arena, size ? size : 1);
  if (frame == NULL || data == NULL) return NULL;
  frame->position.function = function;
  frame->position.point = point;
  frame->size = size;
  frame->data = data;
  return frame;
}

void ups_frame_keep(struct ups_chunk **arena, struct ups_frame *frame, uint32_t offset, uintptr_t address,
                    uint64_t size, uint32_t sort) {
  if (offset > frame->size || size > frame->size - offset || frame->size - offset - size < UPSTARE_KEPT_HEADER) return;
  memcpy(frame->data + offset, &address, sizeof address);
  if (address == 0) return;
  memcpy(frame->data + offset + UPSTARE_KEPT_HEADER, (const void *)address, size);
  if (sort == UPSTARE_SIZED) memcpy(&size, frame->data + offset + sizeof address, sizeof size);
  struct ups_kept *kept = ups_arena_take(arena, sizeof *kept);
  if (kept == NULL) return;
  *kept = (struct ups_kept){frame->kept, address, size, offset, (uint16_t)sort, false};
  frame->kept = kept;
}

struct ups_frame *ups_frame_copy(struct ups_chunk **arena, const struct ups_frame *from) {
  const struct ups_position *position = &from->position;
  struct ups_frame *frame = ups_frame_new(arena, position->function, position->point, from->size);
  if (frame == NULL) return NULL;
  memcpy(frame->data, from->data, from->size);
  frame->part = from->part;
  for (const struct ups_kept *kept = from->kept; kept != NULL; kept = kept->next) {
    struct ups_kept *copy = ups_arena_take(arena, sizeof *copy);
    if (copy == NULL) return NULL;
    *copy = *kept;
    copy->next = frame->kept;
    frame->kept = copy;
  }
  return frame;
}

void ups_frame_link(struct ups_thread *self, struct ups_frame *frame) {
  frame->position.phase = self->outermost == NULL ? UPSTARE_AFTER : UPSTARE_IN_CALL;
  frame->inner = self->outermost;
  frame->outer = NULL;
  if (self->outermost != NULL)
    self->outermost->outer = frame;
  else
    self->innermost = frame;
  self->outermost = frame;
}

unsigned char *ups_frame_push(uint64_t function, uint32_t point, uint32_t size) {
  struct ups_frame *frame = ups_frame_new(&ups_self->arena, function, point, size);
  ups_frame_link(ups_self, frame);
  return frame->data;
}

/* ---- What stays where it is --------------------------------------------------------------------------------------------- */

/* A va_list, and how much of the caller's outgoing arguments is looked at: nothing says how many there are. */
struct list {
  uint32_t general, floating;
  uintptr_t stacked, saved;
};
#define SAVED_BYTES 176u
#define STACKED_BYTES 256u

/* `size` bytes of the thread's stacks, or what there is of them. */
static bool on_stack(const struct ups_thread *thread, uintptr_t low, uint64_t size, struct ups_extent *extent) {
  for (int i = 0; i < UPS_REGIONS; i++) {
    const struct ups_region *region = &thread->regions[i];
    uintptr_t high = i == 0 ? thread->base_sp : region->high;
    if (low < region->low || low >= high || low % sizeof(uintptr_t) != 0) continue;
    *extent = (struct ups_extent){low, size < high - low ? low + size : high};
    return true;
  }
  return false;
}

static bool block_extent(const struct ups_thread *thread, uintptr_t address, struct ups_extent *extent) {
  struct upstare_block block;
  if (!on_stack(thread, address, sizeof block, extent) || extent->high - extent->low < sizeof block) return false;
  memcpy(&block, (const void *)address, sizeof block);
  return on_stack(thread, address, sizeof block + block.size, extent);
}

static bool argument_extent(const struct ups_thread *thread, uintptr_t address, unsigned index,
                            struct ups_extent *extent) {
  struct list list;
  memcpy(&list, (const void *)address, sizeof list);
  if (index == 1) return on_stack(thread, list.saved, SAVED_BYTES, extent);
  return index == 2 && on_stack(thread, list.stacked, STACKED_BYTES, extent);
}

bool ups_kept_extent(const struct ups_thread *thread, const struct ups_kept *kept, unsigned index,
                     struct ups_extent *extent) {
  if (kept->sort == UPSTARE_CHAIN) {
    uintptr_t address = kept->address;
    if (index > 0) memcpy(&address, (const void *)extent->low, sizeof address);
    return block_extent(thread, address, extent);
  }
  if (index > 0) return kept->sort == UPSTARE_ARGUMENTS && argument_extent(thread, kept->address, index, extent);
  *extent = (struct ups_extent){kept->address, kept->address + kept->size};
  return true;
}

/* ---- Where to build ---------------------------------------------------------------------------------------------------- */

static uintptr_t lowest_kept(const struct ups_thread *self, const struct ups_region *region) {
  uintptr_t lowest = region->high;
  struct ups_extent extent;
  for (const struct ups_frame *frame = self->outermost; frame != NULL; frame = frame->inner)
    for (const struct ups_kept *kept = frame->kept; kept != NULL; kept = kept->next)
      for (unsigned i = 0; ups_kept_extent(self, kept, i, &extent); i++)
        if (extent.low >= region->low && extent.low < lowest) lowest = extent.low;
  return lowest;
}

static void release_region(struct ups_region *region) {
  munmap((void *)(region->low - PAGE), region->high - region->low + PAGE);
  *region = (struct ups_region){0, 0};
}

void ups_regions_release(struct ups_thread *self) {
  for (int i = 1; i < UPS_REGIONS; i++)
    if (self->regions[i].high != 0) release_region(&self->regions[i]);
}

static bool fresh_region(struct ups_region *region, uintptr_t size) {
  size = (size + PAGE - 1) & ~(PAGE - 1);
  unsigned char *low = mmap(NULL, size + PAGE, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (low == MAP_FAILED) return false;
  mprotect(low, PAGE, PROT_NONE);
  region->low = (uintptr_t)low + PAGE;
  region->high = region->low + size;
  return true;
}

/* Bytes of stack that the frames took before they came down. */
static uintptr_t stack_used(const struct ups_thread *self) {
  for (int i = 0; i < UPS_REGIONS; i++) {
    const struct ups_region *region = &self->regions[i];
    if (self->walk_sp >= region->low && self->walk_sp < region->high) return region->high - self->walk_sp;
  }
  return 0;
}

/* The stack pointer to build from: the first region with room for what was there and a quarter of a stack more. If
 * nothing has (no memory, no slot), the one with the most room. */
static uintptr_t choose_stack(struct ups_thread *self) {
  struct ups_region *own = &self->regions[0];
  own->high = self->base_sp;
  uintptr_t size = own->high - own->low;
  uintptr_t need = stack_used(self) + size / 4;
  uintptr_t most = 0;
  int chosen = -1, unused = -1, best = 0;
  uintptr_t sp[UPS_REGIONS] = {0};
  for (int i = 0; i < UPS_REGIONS; i++) {
    struct ups_region *region = &self->regions[i];
    if (region->high == 0) {
      unused = i;
      continue;
    }
    sp[i] = lowest_kept(self, region) & ~(uintptr_t)63;
    uintptr_t room = sp[i] > region->low ? sp[i] - region->low : 0;
    if (chosen < 0 && room >= need) chosen = i;
    if (room > most) {
      most = room;
      best = i;
    }
  }
  if (chosen < 0 && unused > 0) {
    uintptr_t fresh = size + need;
    if (fresh_region(&self->regions[unused], fresh > FRESH_LEAST ? fresh : FRESH_LEAST)) {
      chosen = unused;
      sp[chosen] = self->regions[chosen].high - 64;
    }
  }
  if (chosen < 0) chosen = best;
  for (int i = 1; i < UPS_REGIONS; i++) /* nothing runs on them now: we are at the base */
    if (i != chosen && self->regions[i].high != 0 &&
        lowest_kept(self, &self->regions[i]) == self->regions[i].high)
      release_region(&self->regions[i]);
  return sp[chosen];
}

/* ---- Building ------------------------------------------------------------------------------------------------------------ */

/* A mapping may have given an object that keeps its address other bytes. All of the program is stopped. */
static void put_back_changes(struct ups_thread *self) {
  for (struct ups_frame *frame = self->outermost; frame != NULL; frame = frame->inner)
    for (struct ups_kept *kept = frame->kept; kept != NULL; kept = kept->next)
      if (kept->changed)
        memcpy((void *)kept->address, frame->data + kept->offset + UPSTARE_KEPT_HEADER, kept->size);
}

struct ups_entry_point ups_rebuild(struct ups_thread *self) {
  atomic_store_explicit(&self->unrolling, 0, memory_order_relaxed);
  if (!self->storming) {
    ups_wait_rebuild(self);
    put_back_changes(self);
  }
  struct ups_entry_point entry;
  entry.sp = choose_stack(self);
  entry.function = ups_image_resume(atomic_load(&ups_current), self->outermost->position.function);
  self->cursor = self->outermost;
  return entry;
}

static void note_running(uint64_t now) {
  uint64_t last = atomic_load(&ups_stop.last_running_us);
  while (last < now && !atomic_compare_exchange_weak(&ups_stop.last_running_us, &last, now)) continue;
}

/* The innermost frame goes on: the program has its signals back, and no frame's data is needed after the clone that
 * called us has copied its own. */
static void rebuilt(struct ups_thread *self) {
  bool storm = self->storming;
  sigset_t mask = self->mask;
  if (storm) {
    ups_storm_count(UPS_STORM_DONE);
  } else {
    note_running(ups_now_us());
    atomic_store(&self->state, UPS_RUNNING);
    ups_changed();
  }
  sigaltstack(&self->alternate, NULL);
  errno = self->error;
  ups_signals_restore(&mask); /* does not touch errno: it cannot fail */
}

UPS_PUBLIC const unsigned char *upstare_resume_hold(uint32_t *point, uint32_t *phase) {
  struct ups_thread *self = ups_self;
  struct ups_frame *frame = self->cursor;
  const unsigned char *data = frame->data;
  *point = frame->position.point;
  *phase = frame->position.phase;
  self->cursor = frame->inner;
  return data;
}

UPS_PUBLIC void upstare_resume_ready(void) {
  if (ups_self->cursor == NULL) rebuilt(ups_self);
}

UPS_PUBLIC const unsigned char *upstare_resume_begin(uint32_t *point, uint32_t *phase) {
  const unsigned char *data = upstare_resume_hold(point, phase);
  upstare_resume_ready();
  return data;
}

UPS_PUBLIC void (*upstare_resume_callee(void))(void) {
  return ups_image_resume(atomic_load(&ups_current), ups_self->cursor->position.function);
}
