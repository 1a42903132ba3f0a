/*
 * Constants that are not the same in the target version: no frame may take a pointer to one of them along.
 *
 * The new code would compare it with the address of its own constant, and subtract that. What is looked through is what
 * the frames save, so a pointer that nobody reads any more does not count; nor do the arguments of calls of the runtime
 * that are in progress, which go on with them. The bytes of kept objects are searched word by word.
 */
#define _GNU_SOURCE
#include "update.h"

struct found {
  const struct ups_thread *thread;
  const struct ups_frame *frame;
  uint32_t offset; /* of the slot, or of a word behind its beginning */
  const struct upstare_constant *constant;
};

struct search {
  const struct upstare_direction *direction;
  uintptr_t low, high; /* of all of the constants */
};

static const struct upstare_constant *constant_at(const struct search *s, uintptr_t word) {
  if (word < s->low || word >= s->high) return NULL;
  for (uint32_t i = 0; i < s->direction->n_constants; i++) {
    const struct upstare_constant *c = &s->direction->constants[i];
    if (word - (uintptr_t)c->object < c->span) return c;
  }
  return NULL;
}

static const struct upstare_constant *constant_in(const struct search *s, uintptr_t low, uintptr_t high) {
  const struct upstare_constant *c = NULL;
  for (low = (low + 7) & ~(uintptr_t)7; c == NULL && low + sizeof(uintptr_t) <= high; low += sizeof(uintptr_t)) {
    uintptr_t word;
    memcpy(&word, (const void *)low, sizeof word);
    c = constant_at(s, word);
  }
  return c;
}

static bool in_data(const struct search *s, struct found *found) {
  const struct ups_frame *f = found->frame;
  for (uint32_t offset = 0; offset + sizeof(uintptr_t) <= f->size; offset += sizeof(uintptr_t)) {
    uintptr_t at = (uintptr_t)f->data + offset;
    found->offset = offset;
    found->constant = constant_in(s, at, at + sizeof(uintptr_t));
    if (found->constant != NULL && !ups_kept_at(f, offset)) return true;
  }
  return false;
}

static bool in_objects(const struct search *s, struct found *found) {
  struct ups_extent extent;
  for (const struct ups_kept *k = found->frame->kept; k != NULL; k = k->next) {
    found->offset = k->offset;
    for (unsigned i = 0; ups_kept_extent(found->thread, k, i, &extent); i++) {
      found->constant = constant_in(s, extent.low, extent.high);
      if (found->constant != NULL) return true;
    }
  }
  return false;
}

static bool in_threads(const struct search *s, struct found *found) {
  for (found->thread = atomic_load(&ups_threads); found->thread != NULL; found->thread = found->thread->next) {
    if (atomic_load(&found->thread->state) != UPS_UNROLLED) continue;
    for (found->frame = found->thread->outermost; found->frame != NULL; found->frame = found->frame->inner)
      if (found->frame->position.function >= UPS_RUNTIME_IDS && (in_data(s, found) || in_objects(s, found))) return true;
  }
  return false;
}

/* The variable of the frame: that with the last slot up to the offset. */
static const char *variable(const struct upstare_direction *d, const struct found *found) {
  const struct upstare_variable *last = NULL;
  for (uint32_t i = 0; i < d->n_variables; i++) {
    const struct upstare_variable *v = &d->variables[i];
    if (v->function == found->frame->position.function && v->offset <= found->offset &&
        (last == NULL || v->offset > last->offset))
      last = v;
  }
  return last != NULL ? d->names + last->name : "a value";
}

bool ups_constants_held(const struct ups_transition *transition, struct ups_text *why) {
  struct search search = {transition->direction, UINTPTR_MAX, 0};
  struct found found;
  for (uint32_t i = 0; i < search.direction->n_constants; i++) {
    const struct upstare_constant *c = &search.direction->constants[i];
    uintptr_t low = (uintptr_t)c->object;
    if (low < search.low) search.low = low;
    if (low + c->span > search.high) search.high = low + c->span;
  }
  if (search.high == 0 || !in_threads(&search, &found)) return false;
  ups_text_add(why, "the constant %s is not the same in version %s, and %s of ", found.constant->name,
               transition->target->info->version, variable(search.direction, &found));
  ups_name_position(why, &found.frame->position);
  ups_text_add(why, " (thread %d) points to it", atomic_load(&found.thread->tid));
  return true;
}
