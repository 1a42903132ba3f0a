/*
 * Walking a stack, before anything is done to it.
 *
 * A stack is complete if every return address on it, from the point (or the blocking call) down to the base, is one in
 * transformed code from which nothing but a point can be reached (the table of returns). The walk yields the list of
 * frames that unrolling will give, the inlined ones included, so the vote can be taken before a frame is taken down.
 * Anything else on it (a library that called back, a signal handler) means "not now".
 *
 * The unwinder of libgcc finds its tables through _dl_find_object, which takes no lock.
 */
#define _GNU_SOURCE
#include <unwind.h>

#include "runtime.h"

#define POSITIONS_FIRST 128u
#define LOOK_FURTHER 256u /* frames beyond the culprit, to name who called it */

/* What a frame may need besides its data: its record, its kept objects. */
#define OPERANDS_MOST 30u /* of one chunk of a point: what the compiler takes */
#define FRAME_BYTES (sizeof(struct ups_frame) + 64)

struct walk {
  struct ups_thread *self;
  const struct ups_image *image; /* a trap: the point that it is at, and where it is */
  uint32_t point;
  uintptr_t pc, sp;
  bool found;     /* the frame where the program was */
  bool complete, culprit;
  unsigned further;
};

static bool push(struct ups_thread *self, uint64_t function, uint32_t point) {
  if (self->n_positions == self->room_positions) {
    uint32_t room = self->room_positions ? self->room_positions * 2 : POSITIONS_FIRST;
    struct ups_position *more = ups_map(room * sizeof *more);
    if (more == NULL) return false;
    if (self->n_positions != 0) memcpy(more, self->positions, self->n_positions * sizeof *more);
    ups_unmap(self->positions);
    self->positions = more;
    self->room_positions = room;
  }
  uint32_t phase = self->n_positions == 0 ? UPSTARE_AFTER : UPSTARE_IN_CALL;
  self->positions[self->n_positions++] = (struct ups_position){function, point, phase};
  return true;
}

/* The frames that come down from the point `index` on until the physical function has returned. */
static bool push_chain(struct ups_thread *self, const struct ups_image *image, int32_t index) {
  const struct ups_table *t = atomic_load_explicit(&image->table, memory_order_acquire);
  if (!ups_image_is_current(image)) {
    self->old_frames++;
    return false;
  }
  for (uint32_t steps = 0; steps <= t->header->n_points; steps++) {
    const struct upstare_point *p = &t->points[index];
    const struct upstare_function *f = ups_image_function(image, p->function);
    if (f == NULL || !push(self, p->function, p->point)) return false;
    /* The flag scheme does not say how many objects a frame keeps; 16 bytes of slot each is the least. */
    size_t kept = p->label != 0 ? p->n_operands + p->part * OPERANDS_MOST : f->frame_size / UPSTARE_KEPT_HEADER;
    self->walk_bytes += FRAME_BYTES + f->frame_size + kept * sizeof(struct ups_kept);
    if (t->header->scheme == UPSTARE_SCHEME_FLAG || p->next == UPSTARE_NEXT_RETURN) return true;
    if (p->next < 0) return false;
    index = p->next;
  }
  return false;
}

/* The frame that is in the way: a library's (then who called it is looked for further down), or one of the program's. */
static _Unwind_Reason_Code blame(struct walk *walk, const struct ups_image *image, uintptr_t address, uintptr_t sp) {
  struct ups_thread *self = walk->self;
  walk->culprit = true;
  atomic_store_explicit(&self->blocker, image == NULL ? address : 0, memory_order_relaxed);
  atomic_store_explicit(&self->blocker_caller, image == NULL ? 0 : address, memory_order_relaxed);
  self->blocker_sp = sp;
  return image == NULL ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *argument) {
  struct walk *walk = argument;
  struct ups_thread *self = walk->self;
  uintptr_t ip = _Unwind_GetIP(context), sp = _Unwind_GetCFA(context);
  if (!walk->found) {
    if (walk->image != NULL) {
      if (ip != walk->pc || sp != walk->sp) return _URC_NO_REASON;
      walk->found = true;
      if (!push_chain(self, walk->image, (int32_t)walk->point)) return blame(walk, walk->image, ip, sp);
      return _URC_NO_REASON;
    }
    if (ups_in_runtime(ip)) return _URC_NO_REASON;
    walk->found = true;
    self->walk_sp = sp;
    if (walk->point != 0) { /* of the flag scheme: which one it is we learn when it saves its frame */
      const struct ups_image *image = ups_image_at(ip);
      return image == NULL || !ups_image_is_current(image) ? blame(walk, image, ip, sp) : _URC_NO_REASON;
    }
  }
  const struct ups_image *image = ups_image_at(ip);
  if (walk->culprit) {
    if (image == NULL) return ++walk->further < LOOK_FURTHER ? _URC_NO_REASON : _URC_END_OF_STACK;
    atomic_store_explicit(&self->blocker_caller, ip, memory_order_relaxed);
    return _URC_END_OF_STACK;
  }
  if (ip == (uintptr_t)ups_base_return) {
    walk->complete = true;
    return _URC_END_OF_STACK;
  }
  const struct upstare_return *r = image == NULL ? NULL : ups_image_return(image, ip);
  if (r == NULL || r->point == UPSTARE_NEXT_UNKNOWN || (r->point >= 0 && !push_chain(self, image, r->point)))
    return blame(walk, image, ip, sp);
  if (r->point >= 0) {
    const struct ups_table *t = atomic_load_explicit(&image->table, memory_order_acquire);
    ups_return_note(self, image, &t->points[r->point], sp - sizeof(uintptr_t));
  }
  return _URC_NO_REASON;
}

static enum ups_walk_result run(struct walk *walk) {
  struct ups_thread *self = walk->self;
  self->n_positions = self->n_returns = self->old_frames = 0;
  self->walk_bytes = FRAME_BYTES + 4096; /* a frame of the runtime's, or the innermost of the flag scheme: see below */
  atomic_fetch_add_explicit(&ups_stop.walks, 1, memory_order_relaxed);
  _Unwind_Backtrace(step, walk);
  if (walk->complete) return UPS_WALK_COMPLETE;
  if (!walk->culprit) blame(walk, NULL, 0, self->walk_sp);
  atomic_fetch_add_explicit(&ups_stop.refusals, 1, memory_order_relaxed);
  return UPS_WALK_INCOMPLETE;
}

enum ups_walk_result ups_walk_trap(struct ups_thread *self, const ucontext_t *context, const struct ups_image *image,
                                   uint32_t point) {
  struct walk walk = {.self = self, .image = image, .point = point};
  walk.pc = (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
  walk.sp = self->walk_sp = (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
  enum ups_walk_result result = run(&walk);
  return result;
}

enum ups_walk_result ups_walk_call(struct ups_thread *self, bool at_point) {
  struct walk walk = {.self = self, .image = NULL, .point = at_point};
  enum ups_walk_result result = run(&walk);
  /* The innermost frame is a call's: what is listed are its callers. Or it is of the flag scheme: any function's. */
  for (uint32_t i = 0; i < self->n_positions; i++) self->positions[i].phase = UPSTARE_IN_CALL;
  if (at_point) self->walk_bytes += 3 * (size_t)ups_images_largest_frame();
  return result;
}

/* ---- A look at any stack ------------------------------------------------------------------------------------------------- */

struct glancing {
  struct ups_glance *glance;
  uintptr_t pc, sp;
  bool found, ended;
  unsigned frames;
};

static _Unwind_Reason_Code glance_step(struct _Unwind_Context *context, void *argument) {
  struct glancing *g = argument;
  uintptr_t ip = _Unwind_GetIP(context);
  bool first = false;
  if (!g->found) {
    if (ip != g->pc || _Unwind_GetCFA(context) != g->sp) return _URC_NO_REASON;
    g->found = first = true;
  }
  if (ip == (uintptr_t)ups_base_return) {
    g->ended = true;
    return _URC_END_OF_STACK;
  }
  bool transformed = ups_image_at(ip) != NULL;
  if (first) g->glance->transformed = transformed;
  if (transformed) {
    g->glance->any_transformed = true;
    if (g->glance->caller == 0) g->glance->caller = ip;
  } else if (!ups_in_runtime(ip) || first) {
    g->glance->only_transformed = false;
    if (g->glance->caller == 0) g->glance->blocker = ip; /* the outermost of the library's, next to our caller */
  }
  return ++g->frames < 4096 ? _URC_NO_REASON : _URC_END_OF_STACK;
}

void ups_walk_glance(const ucontext_t *context, struct ups_glance *glance) {
  struct glancing g = {.glance = glance,
                       .pc = (uintptr_t)context->uc_mcontext.gregs[REG_RIP],
                       .sp = (uintptr_t)context->uc_mcontext.gregs[REG_RSP]};
  *glance = (struct ups_glance){.only_transformed = true, .pc = g.pc};
  _Unwind_Backtrace(glance_step, &g);
  if (!g.ended) glance->only_transformed = false;
}

static _Unwind_Reason_Code first_step(struct _Unwind_Context *context, void *argument) {
  (void)context;
  return ++*(int *)argument < 2 ? _URC_NO_REASON : _URC_END_OF_STACK;
}

void ups_walk_init(void) {
  int frames = 0;
  _Unwind_Backtrace(first_step, &frames);
}
