/*
 * The update itself: load, stop, commit, or cancel before that. And back.
 *
 *   IDLE -> LOADED    the new image is in memory (or the previous one, for a rollback); the old version runs on
 *   LOADED -> STOPPED all threads are parked, every frame has a continuation
 *   STOPPED -> IDLE   committed: stacks down, data transformed, entries switched, stacks up. Nothing is written that the
 *                     old version sees until nothing can fail any more: on a refusal the old frames are built up again.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>

#include "blocking.h"
#include "update.h"

#define SECTION_OLD_TABLE ".upstare.oldpoints"
#define DESCRIPTOR_PATH_MOST 4000

enum state { IDLE, LOADED, STOPPED };

/* The last update, for its rollback. */
static struct {
  struct ups_image *previous; /* null: there is none */
  const struct upstare_patch *patch;
  void **slots; /* what the entries held before */
} last;

static struct {
  enum state state;
  struct ups_image *target;
  const struct upstare_patch *patch;
  const struct upstare_direction *direction;
  bool backward;
  uint64_t stop_begun;
} now;

struct upstare_context {
  struct ups_text *why;
  bool refused;
};

static unsigned loads; /* images loaded so far, for names that the dynamic linker has not seen */

/* ---- Reports ------------------------------------------------------------------------------------------------------------ */

static void fail(struct ups_report *report, const char *kind, const char *text) {
  report->kind = kind;
  if (text != NULL) ups_text_add(&report->reason, "%s", text);
}

static void record(const char *outcome, const struct ups_report *report, const struct ups_image *from,
                   const struct ups_image *to) {
  struct timespec time;
  struct ups_event event = {.outcome = outcome, .pause_us = report->pause_us};
  clock_gettime(CLOCK_REALTIME, &time);
  event.time = time.tv_sec;
  memcpy(event.from, from->info->build, sizeof event.from);
  memcpy(event.to, to->info->build, sizeof event.to);
  snprintf(event.from_version, sizeof event.from_version, "%s", from->info->version);
  snprintf(event.to_version, sizeof event.to_version, "%s", to->info->version);
  snprintf(event.reason, sizeof event.reason, "%s", ups_text_string(&report->reason));
  ups_history_add(&event);
}

UPS_PUBLIC void upstare_refuse(struct upstare_context *context, const char *what) {
  if (!context->refused) ups_text_add(context->why, "%s", what);
  context->refused = true;
}

/* ---- Load --------------------------------------------------------------------------------------------------------------- */

/* The image that was loaded from the very same bytes before. */
static struct ups_image *known(const struct ups_elf *file) {
  for (uint32_t i = 1; i < atomic_load(&ups_images_count); i++) {
    struct ups_image *image = atomic_load(&ups_images[i]);
    if (image->file.size == file->size && memcmp(image->file.bytes, file->bytes, file->size) == 0) return image;
  }
  return NULL;
}

/* The dynamic linker knows loaded files by the path that they were loaded by: every load needs another one. */
static void *load_descriptor(int fd) {
  char path[DESCRIPTOR_PATH_MOST + 64] = "/proc/self/fd/";
  size_t length = strlen(path);
  for (unsigned i = 0; i < loads && length < DESCRIPTOR_PATH_MOST; i++) {
    path[length++] = '.';
    path[length++] = '/';
  }
  snprintf(path + length, sizeof path - length, "%d", fd);
  return dlopen(path, RTLD_NOW | RTLD_GLOBAL);
}

static bool write_file(int fd, const struct ups_elf *file) {
  for (size_t done = 0; done < file->size;) {
    ssize_t count = write(fd, file->bytes + done, file->size - done);
    if (count <= 0) return false;
    done += (size_t)count;
  }
  return true;
}

/* Without /proc (a chroot): by way of a file that exists for a moment, where one can be made. */
static void *load_copy(const struct ups_elf *file) {
  static const char *const places[] = {"/tmp", "/var/tmp", "/dev/shm", "", "."};
  void *handle = NULL;
  for (size_t i = 0; handle == NULL && i < sizeof places / sizeof *places; i++) {
    char path[96];
    snprintf(path, sizeof path, "%s/.upstare-%d-%llx-%u", places[i], (int)getpid(),
             (unsigned long long)ups_now_us(), loads);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) continue;
    if (write_file(fd, file)) handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    unlink(path);
    close(fd);
  }
  return handle;
}

static void *load_file(int fd, const struct ups_elf *file) {
  void *handle = load_descriptor(fd);
  if (handle == NULL && access("/proc/self/fd", X_OK) != 0) handle = load_copy(file);
  loads++;
  return handle;
}

/* The table of the version that runs, where it is not known yet: the patch brings it. */
static const char *take_old_table(const struct ups_elf *file, struct ups_image *current) {
  size_t size = 0;
  const char *why = "the patch lacks the update points of the version that runs";
  const unsigned char *bytes = ups_elf_section(file, SECTION_OLD_TABLE, &size);
  struct upstare_table header;
  if (bytes == NULL || size < sizeof header) return why;
  memcpy(&header, bytes, sizeof header);
  if (memcmp(header.build, current->info->build, sizeof header.build) != 0)
    return "the patch is for another build than the one that runs";
  if (atomic_load(&current->table) != NULL) return NULL;
  const struct ups_table *table = ups_table_open(bytes, size, &why);
  if (table == NULL) return why;
  return ups_image_set_table(current, table) ? NULL : "the patch is for another build than the one that runs";
}

static const char *check_patch(const struct upstare_patch *patch, const struct ups_image *current) {
  if (patch == NULL) return "the patch has no description of itself";
  if (patch->abi != UPSTARE_ABI || patch->image == NULL || patch->image->abi != UPSTARE_ABI)
    return "the patch was made by another release of UpStare";
  if (memcmp(patch->from, current->info->build, sizeof patch->from) != 0)
    return "the patch is for another build than the one that runs";
  if (memcmp(patch->to, patch->image->build, sizeof patch->to) != 0) return "the patch does not hold the build it names";
  return NULL;
}

/* A new image out of the file. Null: `why`, and nothing is left of it. */
static struct ups_image *load_image(int fd, const struct ups_elf *file, const struct ups_image *current,
                                    const char **why) {
  struct ups_image image = {.file = *file};
  struct link_map *map = NULL;
  size_t size = 0;
  void *handle = load_file(fd, file);
  if (handle == NULL) {
    *why = dlerror();
    return NULL;
  }
  image.patch = dlsym(handle, "upstare_patch");
  *why = check_patch(image.patch, current);
  if (*why != NULL) goto out;
  *why = "the patch has no table of update points";
  const unsigned char *bytes = ups_elf_section(file, UPSTARE_SECTION_TABLE, &size);
  if (bytes == NULL || dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0) goto out;
  const struct ups_table *table = ups_table_open(bytes, size, why);
  if (table == NULL) goto out;
  image.info = image.patch->image;
  image.bias = map->l_addr;
  *why = "the table of update points is of another build than the patch";
  if (!ups_image_set_table(&image, table)) goto out;
  struct ups_image *added = ups_image_add(&image);
  if (added != NULL) return added;
  *why = "there is no room for another version; start the program again";
out:
  dlclose(handle);
  return NULL;
}

void ups_update_load(int fd, struct ups_report *report) {
  uint64_t begun = ups_now_us();
  struct ups_image *current = atomic_load(&ups_current);
  struct ups_elf file = {NULL, 0};
  const char *why = NULL;
  ups_update_cancel();
  if (!ups_elf_open(fd, &file)) {
    fail(report, "error", "the patch is not an ELF file");
    return;
  }
  struct ups_image *target = known(&file);
  if (target != NULL) {
    ups_elf_close(&file);
    why = check_patch(target->patch, current);
  } else {
    why = take_old_table(&file, current);
    if (why == NULL) target = load_image(fd, &file, current, &why);
    if (target == NULL) ups_elf_close(&file);
    else why = NULL;
  }
  if (why != NULL) {
    fail(report, "refused", why);
    return;
  }
  now.state = LOADED;
  now.target = target;
  now.patch = target->patch;
  now.direction = &target->patch->forward;
  now.backward = false;
  report->load_us = ups_now_us() - begun;
}

void ups_update_load_previous(struct ups_report *report) {
  uint64_t begun = ups_now_us();
  ups_update_cancel();
  if (last.previous == NULL) {
    fail(report, "unchanged", "there is no update to take back");
    return;
  }
  now.state = LOADED;
  now.target = last.previous;
  now.patch = last.patch;
  now.direction = &last.patch->backward;
  now.backward = true;
  report->load_us = ups_now_us() - begun;
}

/* ---- Vote --------------------------------------------------------------------------------------------------------------- */

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

static bool vote(const struct ups_position *position, void *argument, struct ups_text *why) {
  (void)argument;
  if (position->function < UPS_RUNTIME_IDS || continuation_of(now.direction, position) != NULL) return true;
  ups_name_position(why, position);
  ups_text_add(why, ", which has no continuation in version %s", now.target->info->version);
  return false;
}

void ups_update_stop(uint64_t deadline_us, struct ups_report *report) {
  if (now.state != LOADED) {
    fail(report, "error", "nothing is loaded");
    return;
  }
  now.stop_begun = ups_now_us();
  switch (ups_halt_start(deadline_us, vote, NULL, report)) {
    case UPS_HALT_DONE: break;
    case UPS_HALT_TIMED_OUT: report->kind = "timed_out"; break;
    case UPS_HALT_REFUSED: report->kind = "refused"; break;
    case UPS_HALT_CALLED_OFF:
      fail(report, "refused", "the coordinator called the update off");
      now.state = IDLE;
      return;
  }
  if (report->kind != NULL) {
    record(report->kind, report, atomic_load(&ups_current), now.target);
    now.state = IDLE;
    return;
  }
  now.state = STOPPED;
  report->stop_us = ups_now_us() - now.stop_begun;
  report->counts = ups_halt_describe(&report->detail);
}

bool ups_update_stopped(void) {
  return now.state == STOPPED;
}

void ups_update_cancel(void) {
  if (now.state == STOPPED) ups_halt_cancel();
  now.state = IDLE;
}

void ups_update_glance(uint64_t deadline_us, struct ups_report *report) {
  struct ups_image *current = atomic_load(&ups_current);
  if (now.state != IDLE || !ups_image_read_self(current)) return;
  if (ups_halt_start(deadline_us, NULL, NULL, report) != UPS_HALT_DONE) return;
  report->counts = ups_halt_describe(&report->detail);
  ups_halt_cancel();
}

/* ---- Commit: frames ------------------------------------------------------------------------------------------------------- */

/* Objects that keep their address whose bytes the mapping changed, found through the slots that the new version keeps
 * at this point. */
static void note_changes(struct ups_thread *t, const struct ups_frame *old, struct ups_frame *new) {
  const struct ups_table *table = atomic_load(&now.target->table);
  for (const struct upstare_point *p = ups_image_point_of(now.target, new->position.function, new->position.point);
       p != NULL; p = ups_image_point_next(now.target, p)) {
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
  const struct upstare_continuation *c = continuation_of(now.direction, &old->position);
  if (c == NULL) { /* the flag scheme: the innermost frame was not known before */
    vote(&old->position, NULL, context->why);
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

/* The new frames take the old ones' place. Cannot fail. */
static void adopt_frames(void) {
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next) {
    if (atomic_load(&t->state) != UPS_UNROLLED) continue;
    t->outermost = t->innermost = t->mapped;
    while (t->innermost->inner != NULL) t->innermost = t->innermost->inner;
  }
}

/* ---- Commit: data ---------------------------------------------------------------------------------------------------------- */

static bool pointed_to(struct upstare_context *context) {
  const struct upstare_direction *d = now.direction;
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
  bool found = ups_scan(targets, count, now.target->has_run ? 0 : now.target->bias, context->why);
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
  const struct ups_table *table = atomic_load(&now.target->table);
  if (table->header->scheme == UPSTARE_SCHEME_FLAG) return mentions(new, k->address) >= mentions(old, k->address);
  for (const struct upstare_point *p = ups_image_point_of(now.target, new->position.function, new->position.point);
       p != NULL; p = ups_image_point_next(now.target, p)) {
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
    found = ups_scan(l->targets, l->count, now.target->has_run ? 0 : now.target->bias, context->why);
  context->refused |= found;
  if (l != NULL) ups_unmap(l);
  return found || !all;
}

static void reset_initials(void) {
  for (uint32_t i = 0; i < now.direction->n_initials; i++) {
    const struct upstare_initial *initial = &now.direction->initials[i];
    if (initial->initial != NULL)
      memcpy(initial->object, initial->initial, initial->size);
    else
      memset(initial->object, 0, initial->size);
  }
}

static bool move_objects(struct upstare_context *context, unsigned *moved) {
  for (uint32_t i = 0; i < now.direction->n_moves; i++) {
    const struct upstare_move *m = &now.direction->moves[i];
    if (m->transform != NULL && m->transform(m->old_object, m->new_object, context) != 0) {
      if (!context->refused) ups_text_add(context->why, "%s cannot be transformed", m->name);
      context->refused = true;
    }
    if (context->refused) return false;
    ++*moved;
  }
  return true;
}

static void **saved_slots(void) {
  const struct upstare_direction *d = now.direction;
  void **slots = ups_map((d->n_entries + 1) * sizeof *slots);
  for (uint32_t i = 0; slots != NULL && i < d->n_entries; i++) slots[i] = *d->entries[i].slot;
  return slots;
}

static void store_slot(void **slot, void *value) {
  __atomic_store_n(slot, value, __ATOMIC_SEQ_CST); /* threads of libraries may be calling through it */
}

static void switch_entries(void **slots) {
  const struct upstare_direction *d = now.direction;
  if (now.backward) {
    const struct upstare_direction *forward = &now.patch->forward;
    for (uint32_t i = 0; i < forward->n_entries; i++) store_slot(forward->entries[i].slot, last.slots[i]);
    ups_unmap(last.slots);
    last.slots = NULL;
    last.previous = NULL;
    last.patch = NULL;
    return;
  }
  for (uint32_t i = 0; i < d->n_entries; i++)
    if (d->entries[i].function != NULL) store_slot(d->entries[i].slot, (void *)d->entries[i].function);
  ups_unmap(last.slots);
  last.slots = slots;
  last.previous = atomic_load(&ups_current);
  last.patch = now.patch;
}

/* ---- Commit ------------------------------------------------------------------------------------------------------------------ */

/* Everything that may still fail. True: the rest cannot. */
static bool prepare(struct ups_report *report, void ***slots) {
  struct upstare_context context = {&report->reason, false};
  *slots = NULL;
  if (now.direction->n_moves != 0 && pointed_to(&context)) return false;
  reset_initials(); /* of objects that the old version does not have */
  if (!move_objects(&context, &report->moved) || !map_all(&context) || context.refused) return false;
  if (locals_pointed_to(&context)) return false;
  if (now.backward) return true;
  *slots = saved_slots();
  if (*slots == NULL) upstare_refuse(&context, "there is no memory for the entries");
  return !context.refused;
}

void ups_update_commit(struct ups_report *report) {
  if (now.state != STOPPED) {
    fail(report, "error", "the threads are not stopped");
    return;
  }
  struct ups_image *from = atomic_load(&ups_current);
  bool backward = now.backward;
  void **slots;
  ups_halt_count(&report->counts);
  ups_halt_unroll();
  uint64_t begun = ups_now_us();
  bool done = prepare(report, &slots);
  if (done) {
    adopt_frames();
    switch_entries(slots);
    now.target->has_run = true;
    atomic_store(&ups_current, now.target);
  } else {
    report->kind = "refused";
    report->moved = 0;
  }
  report->transform_us = ups_now_us() - begun;
  begun = ups_now_us();
  if (done && ups_storm_every != 0) ups_points_arm(now.target, true);
  ups_halt_rebuild();
  uint64_t first = atomic_load(&ups_stop.first_parked_us), end = atomic_load(&ups_stop.last_running_us);
  report->resume_us = end > begun ? end - begun : 0;
  report->pause_us = first != 0 && end > first ? end - first : 0;
  record(!done ? "refused" : backward ? "rolled_back" : "updated", report, from, now.target);
  now.state = IDLE;
}
