/*
 * Everything of an update that may fail once the threads are stopped: the vote on each frame, new frames out of old ones,
 * objects that move, and the search for pointers to what moves. Nothing is written that the old version sees.
 */
#define _GNU_SOURCE
#include "blocking.h"
#include "update.h"

static const struct ups_transition *now; /* the one that is under way */

struct upstare_context {
  struct ups_text *why;
  bool refused;
};

UPS_PUBLIC void upstare_refuse(struct upstare_context *context, const char *what) {
  if (!context->refused) ups_text_add(context->why, "%s", what);
  context->refused = true;
}

/* ---- Vote ----------------------------------------------------------------------------------------------------------------- */

static const struct upstare_continuation *continuation_of(const struct upstare_direction *d,
                                                          const struct ups_position *p) {
  uint32_t low = 0, high = d->n_continuations;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    const struct upstare_continuation *c = &d->continuations[middle];
    if (c->function < p->function || (c->function == p->function && c->point < p->point))
      low = middle + 1;
    else
      high = middle;
  }
  if (low == d->n_continuations) return NULL;
  const struct upstare_continuation *c = &d->continuations[low];
  if (c->function != p->function || c->point != p->point) return NULL;
  if (p->phase == UPSTARE_IN_CALL ? (c->flags & 1) != 0 : (c->flags & 2) != 0) return NULL;
  return c;
}

bool ups_map_vote(const struct ups_position *position, void *argument, struct ups_text *why) {
  now = argument;
  if (position->function < UPS_RUNTIME_IDS || continuation_of(now->direction, position) != NULL) return true;
  ups_name_position(why, position);
  ups_text_add(why, ", which has no continuation in version %s", now->target->info->version);
  return false;
}

/* ---- Frames ------------------------------------------------------------------------------------------------------- */

/* Objects that keep their address whose bytes the mapping changed, found through the slots that the new version keeps
 * at this point. */
static void note_changes(struct ups_thread *t, const struct ups_frame *old, struct ups_frame *new) {
  const struct ups_image *clones = ups_image_clones(now->target);
  const struct ups_table *table = atomic_load(&clones->table);
  for (const struct upstare_point *p = ups_image_point_of(clones, new->position.function, new->position.point); p != NULL;
       p = ups_image_point_next(clones, p)) {
    for (uint32_t i = 0; i < p->n_operands; i++) {
      const struct upstare_operand *o = &table->operands[p->operand + i];
      uintptr_t address;
      if (o->kind != UPSTARE_OBJECT && o->kind != UPSTARE_POINTER) continue;
      if ((uint64_t)o->offset + UPSTARE_KEPT_HEADER + o->size > new->size) continue;
      memcpy(&address, new->data + o->offset, sizeof address);
      for (const struct ups_kept *k = old->kept; address != 0 && k != NULL; k = k->next) {
        if (address != k->address || o->size > k->size) continue;
        const unsigned char *before = old->data + k->offset + UPSTARE_KEPT_HEADER;
        if (memcmp(before, new->data + o->offset + UPSTARE_KEPT_HEADER, o->size) == 0) continue;
        struct ups_kept *changed = ups_arena_take(&t->arena, sizeof *changed);
        if (changed != NULL) *changed = (struct ups_kept){new->kept, address, o->size, o->offset, UPSTARE_OBJECT_ONLY, true};
        if (changed != NULL) new->kept = changed;
      }
    }
  }
}

static struct ups_frame *map_frame(struct ups_thread *t, const struct ups_frame *old, struct upstare_context *context) {
  if (old->position.function < UPS_RUNTIME_IDS) return ups_frame_copy(&t->arena, old);
  const struct upstare_continuation *c = continuation_of(now->direction, &old->position);
  if (c == NULL) { /* the flag scheme: the innermost frame was not known before */
    ups_map_vote(&old->position, (void *)now, context->why);
    context->refused = true;
    return NULL;
  }
  struct ups_frame *new = ups_frame_new(&t->arena, c->new_function, c->new_point, c->new_size);
  if (new == NULL) {
    upstare_refuse(context, "there is no memory for the new frames");
    return NULL;
  }
  if (c->map == NULL) {
    memcpy(new->data, old->data, old->size < c->new_size ? old->size : c->new_size);
  } else if (c->map(old->data, new->data, context) != 0) {
    if (!context->refused) upstare_refuse(context, "a frame cannot be mapped");
    return NULL;
  }
  for (const struct ups_kept *k = old->kept; k != NULL; k = k->next) {
    struct ups_kept *same = ups_arena_take(&t->arena, sizeof *same);
    if (same == NULL) {
      upstare_refuse(context, "there is no memory for the new frames");
      return NULL;
    }
    *same = *k;
    same->next = new->kept;
    new->kept = same;
  }
  note_changes(t, old, new);
  return new;
}

/* The new frames of a thread, outermost first, linked but not put in place. */
static bool map_thread(struct ups_thread *t, struct upstare_context *context) {
  struct ups_frame *outer = NULL;
  t->mapped = NULL;
  for (const struct ups_frame *old = t->outermost; old != NULL; old = old->inner) {
    struct ups_frame *new = map_frame(t, old, context);
    if (new == NULL) return false;
    new->position.phase = old->position.phase;
    new->outer = outer;
    if (outer != NULL)
      outer->inner = new;
    else
      t->mapped = new;
    outer = new;
  }
  return true;
}

static bool map_all(struct upstare_context *context) {
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next)
    if (atomic_load(&t->state) == UPS_UNROLLED && !map_thread(t, context)) return false;
  return true;
}

void ups_map_adopt(void) {
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next) {
    if (atomic_load(&t->state) != UPS_UNROLLED) continue;
    t->outermost = t->innermost = t->mapped;
    while (t->innermost->inner != NULL) t->innermost = t->innermost->inner;
  }
}

/* ---- Data ---------------------------------------------------------------------------------------------------------- */

static bool pointed_to(struct upstare_context *context) {
  const struct upstare_direction *d = now->direction;
  size_t count = 0;
  struct ups_target *targets = ups_map((d->n_moves + 1) * sizeof *targets);
  if (targets == NULL) {
    upstare_refuse(context, "there is no memory to look for pointers");
    return true;
  }
  for (uint32_t i = 0; i < d->n_moves; i++) {
    const struct upstare_move *m = &d->moves[i];
    uintptr_t old = (uintptr_t)m->old_object;
    if (old != 0 && m->old_size != 0) targets[count++] = (struct ups_target){old, old + m->old_size, m->name, m->old_type};
  }
  bool found = ups_scan(targets, count, context->why);
  ups_unmap(targets);
  context->refused |= found;
  return found;
}

static unsigned mentions(const struct ups_frame *f, uintptr_t address) {
  unsigned count = 0;
  for (uint32_t offset = 0; offset + 8 <= f->size; offset += UPSTARE_KEPT_HEADER) {
    uintptr_t word;
    memcpy(&word, f->data + offset, sizeof word);
    count += word == address;
  }
  return count;
}

/* Does a kept object of an old frame go on at its address in the new frame? In the flag scheme the table does not know
 * the slots; there, an address that begins a kept slot no more is found fewer times than before. */
static bool carried(const struct ups_frame *old, const struct ups_frame *new, const struct ups_kept *k) {
  const struct ups_image *clones = ups_image_clones(now->target);
  const struct ups_table *table = atomic_load(&clones->table);
  if (table->header->scheme == UPSTARE_SCHEME_FLAG) return mentions(new, k->address) >= mentions(old, k->address);
  for (const struct upstare_point *p = ups_image_point_of(clones, new->position.function, new->position.point); p != NULL;
       p = ups_image_point_next(clones, p)) {
    for (uint32_t i = 0; i < p->n_operands; i++) {
      const struct upstare_operand *o = &table->operands[p->operand + i];
      uintptr_t address;
      if (o->kind != UPSTARE_OBJECT && o->kind != UPSTARE_POINTER) continue;
      if ((uint64_t)o->offset + UPSTARE_KEPT_HEADER + o->size > new->size) continue;
      memcpy(&address, new->data + o->offset, sizeof address);
      if (address == k->address) return true;
    }
  }
  return false;
}

#define LOCAL_NAME 96
#define LOCALS_MOST 256

struct locals {
  struct ups_target targets[LOCALS_MOST];
  char names[LOCALS_MOST][LOCAL_NAME];
  size_t count;
};

static bool add_local(struct locals *l, const struct ups_frame *frame, const struct ups_extent *extent) {
  struct ups_text name = {0};
  if (l->count == LOCALS_MOST) return false;
  ups_text_add(&name, "a local variable (%lu bytes) of ", (unsigned long)(extent->high - extent->low));
  ups_name_position(&name, &frame->position);
  snprintf(l->names[l->count], LOCAL_NAME, "%s", ups_text_string(&name));
  ups_text_free(&name);
  l->targets[l->count] = (struct ups_target){extent->low, extent->high, l->names[l->count], NULL};
  l->count++;
  return true;
}

/* Kept objects of a frame that do not go on where they are. False: too many. */
static bool collect_locals(struct locals *l, const struct ups_thread *t, const struct ups_frame *old,
                           const struct ups_frame *new) {
  if (old->position.function < UPS_RUNTIME_IDS) return true;
  for (const struct ups_kept *k = old->kept; k != NULL; k = k->next) {
    if (carried(old, new, k)) continue;
    struct ups_extent extent;
    for (unsigned i = 0; ups_kept_extent(t, k, i, &extent); i++)
      if (!add_local(l, old, &extent)) return false;
  }
  return true;
}

/* Local variables that get new storage, or are gone, must not be pointed to either. All frames are mapped. */
static bool locals_pointed_to(struct upstare_context *context) {
  struct locals *l = ups_map(sizeof *l);
  bool all = l != NULL, found = false;
  for (struct ups_thread *t = atomic_load(&ups_threads); all && t != NULL; t = t->next) {
    if (atomic_load(&t->state) != UPS_UNROLLED) continue;
    const struct ups_frame *new = t->mapped;
    for (const struct ups_frame *old = t->outermost; all && old != NULL; old = old->inner, new = new->inner)
      all = collect_locals(l, t, old, new);
  }
  if (!all)
    upstare_refuse(context, "there is no memory to look for pointers to local variables");
  else
    found = ups_scan(l->targets, l->count, context->why);
  context->refused |= found;
  if (l != NULL) ups_unmap(l);
  return found || !all;
}

static void reset_initials(void) {
  for (uint32_t i = 0; i < now->direction->n_initials; i++) {
    const struct upstare_initial *initial = &now->direction->initials[i];
    if (initial->initial != NULL)
      memcpy(initial->object, initial->initial, initial->size);
    else
      memset(initial->object, 0, initial->size);
  }
}

static bool move_objects(struct upstare_context *context, unsigned *moved) {
  for (uint32_t i = 0; i < now->direction->n_moves; i++) {
    const struct upstare_move *m = &now->direction->moves[i];
    if (m->transform != NULL && m->transform(m->old_object, m->new_object, context) != 0) {
      if (!context->refused) ups_text_add(context->why, "%s cannot be transformed", m->name);
      context->refused = true;
    }
    if (context->refused) return false;
    ++*moved;
  }
  return true;
}

bool ups_map_all(const struct ups_transition *transition, struct ups_report *report) {
  struct upstare_context context = {&report->reason, false};
  now = transition;
  if (ups_constants_held(transition, &report->reason)) {
    report->kind = "not_now";
    return false;
  }
  if (now->direction->n_moves != 0 && pointed_to(&context)) return false;
  reset_initials(); /* of objects that the old version does not have */
  if (!move_objects(&context, &report->moved) || !map_all(&context) || context.refused) return false;
  return !locals_pointed_to(&context);
}

bool ups_map_check(const struct ups_transition *transition, struct ups_report *report) {
  struct upstare_context context = {&report->reason, false};
  for (uint32_t i = 0; i < transition->direction->n_checks; i++) {
    const struct upstare_check *check = &transition->direction->checks[i];
    int count = check->in_flight(&context);
    if (count == 0 && !context.refused) continue;
    report->kind = context.refused ? "refused" : "in_flight";
    if (!context.refused)
      ups_text_add(&report->reason, "messages of type %s are still on their way: upstare_in_flight_%s() says %d",
                   check->messages, check->messages, count);
    return false;
  }
  return true;
}
