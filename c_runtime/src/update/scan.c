/*
 * Does anything point into an object that is about to move? A conservative scan: every aligned word of the program's
 * writable memory that could be such a pointer counts as one.
 *
 * All threads are unrolled: of their stacks only what is above the base, and objects that keep their address, are alive;
 * the rest is in the frames. The runtime's own memory is left out, and so is the new image, which has not run.
 */
#define _GNU_SOURCE
#include <link.h>

#include "proc.h"
#include "update.h"

#define MAPS_MOST ((size_t)64 << 20) /* bytes of a memory map */
#define AGENT_BELOW ((uintptr_t)65536) /* of the agent's stack, deeper calls than from here */

struct scan {
  const struct ups_target *targets; /* sorted by address */
  size_t count;
  uintptr_t low, high; /* of all of them */
  struct ups_text *why;
  bool found;
  struct ups_extent *left_out; /* memory that is not scanned: sorted by address */
  size_t n_left_out;
};

static const struct ups_target *target_of(const struct scan *scan, uintptr_t word) {
  for (size_t i = 0; i < scan->count; i++)
    if (word >= scan->targets[i].low && word < scan->targets[i].high) return &scan->targets[i];
  return NULL;
}

static void begin_message(struct scan *scan, const struct ups_target *target) {
  scan->found = true;
  if (target->type != NULL)
    ups_text_add(scan->why, "%s (%s) changes its type and would have to move, but it is pointed to from ", target->name,
                 target->type);
  else
    ups_text_add(scan->why, "%s changes its type or is gone, but it is pointed to from ", target->name);
}

/* Words in [low, high). True: go on. */
static bool scan_words(struct scan *scan, uintptr_t low, uintptr_t high, const char *what) {
  const uintptr_t *end = (const uintptr_t *)(high & ~(uintptr_t)7);
  for (const uintptr_t *at = (const uintptr_t *)((low + 7) & ~(uintptr_t)7); at < end; at++) {
    uintptr_t word = *at;
    if (word < scan->low || word >= scan->high) continue;
    const struct ups_target *target = target_of(scan, word);
    if (target == NULL) continue;
    begin_message(scan, target);
    if (what == NULL)
      ups_name_data(scan->why, (uintptr_t)at);
    else
      ups_text_add(scan->why, "%s", what);
    return false;
  }
  return true;
}

/* ---- What is not scanned ------------------------------------------------------------------------------------------------ */

static void sift(struct ups_extent *list, size_t root, size_t count) {
  for (size_t child; (child = 2 * root + 1) < count; root = child) {
    if (child + 1 < count && list[child].low < list[child + 1].low) child++;
    if (list[root].low >= list[child].low) return;
    struct ups_extent swap = list[root];
    list[root] = list[child];
    list[child] = swap;
  }
}

static void sort(struct ups_extent *list, size_t n) {
  for (size_t i = n / 2; i-- > 0;) sift(list, i, n);
  for (size_t i = n; i-- > 1;) {
    struct ups_extent swap = list[0];
    list[0] = list[i];
    list[i] = swap;
    sift(list, 0, i);
  }
}

/* The runtime's memory, the dead parts of the threads' stacks, and the agent's stack near here: on it are copies of the
 * tables of what moves. */
static bool list_left_out(struct scan *scan) {
  size_t room = ups_map_list(NULL, 0) + 8 + (size_t)ups_threads_count() * UPS_REGIONS;
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next) room++;
  struct ups_extent *list = scan->left_out = ups_map(room * sizeof *list);
  if (list == NULL) {
    ups_text_add(scan->why, "there is no memory to look for pointers to what moves");
    scan->found = true;
    return false;
  }
  size_t n = ups_map_list(list, room);
  uintptr_t here = (uintptr_t)__builtin_frame_address(0);
  if (!ups_guest_runs()) /* else we are in memory of ours */
    list[n++] = (struct ups_extent){here - AGENT_BELOW, (uintptr_t)pthread_self()}; /* which is at the stack's top */
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next) {
    if (n < room) list[n++] = (struct ups_extent){(uintptr_t)t, (uintptr_t)(t + 1)};
    if (atomic_load(&t->state) == UPS_FREE) continue;
    for (int i = 0; i < UPS_REGIONS && n < room; i++)
      if (t->regions[i].high != 0) list[n++] = (struct ups_extent){t->regions[i].low, t->regions[i].high};
  }
  sort(list, n);
  scan->n_left_out = n;
  return true;
}

/* The first of them that ends above the address (they do not overlap, or only end to end). */
static size_t first_left_out(const struct scan *scan, uintptr_t address) {
  size_t low = 0, high = scan->n_left_out;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (scan->left_out[middle].high <= address)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static bool scan_range(struct scan *scan, uintptr_t low, uintptr_t high, const char *what) {
  for (size_t i = first_left_out(scan, low); low < high; i++) {
    uintptr_t end = high, next = high;
    if (i < scan->n_left_out && scan->left_out[i].low < high) {
      end = scan->left_out[i].low;
      next = scan->left_out[i].high;
    }
    if (low < end && !scan_words(scan, low, end, what)) return false;
    if (next > low) low = next;
  }
  return true;
}

/* ---- Pages that nobody ever wrote -------------------------------------------------------------------------------------- */

#define PAGE ((uintptr_t)4096)
#define PAGE_IS_THERE ((uint64_t)3 << 62) /* in memory, or swapped out */
#define PAGES_AT_ONCE 512u

/* Anonymous memory: only pages that exist. To look into the others would make them, and there may be many: stacks,
 * arenas. `pages` is /proc/self/pagemap, or -1: then all are looked at. */
static bool scan_anonymous(struct scan *scan, int pages, uintptr_t low, uintptr_t high, const char *what) {
  uint64_t page[PAGES_AT_ONCE];
  while (low < high) {
    size_t count = (high - low) / PAGE < PAGES_AT_ONCE ? (high - low) / PAGE : PAGES_AT_ONCE;
    size_t bytes = count * sizeof *page;
    if (pages < 0 || pread(pages, page, bytes, (off_t)(low / PAGE * sizeof *page)) != (ssize_t)bytes)
      return scan_range(scan, low, high, what);
    for (size_t i = 0; i < count;) {
      size_t first = i;
      while (i < count && (page[i] & PAGE_IS_THERE) != 0) i++;
      if (i > first && !scan_range(scan, low + first * PAGE, low + i * PAGE, what)) return false;
      while (i < count && (page[i] & PAGE_IS_THERE) == 0) i++;
    }
    low += count * PAGE;
  }
  return true;
}

/* ---- The program's memory ------------------------------------------------------------------------------------------------- */

/* Whether a mapping that begins at the address belongs to an image that has not run: its data are nobody's. */
static int in_image(struct dl_phdr_info *info, size_t size, void *argument) {
  uintptr_t address = *(const uintptr_t *)argument;
  (void)size;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *p = &info->dlpi_phdr[i];
    uintptr_t low = (info->dlpi_addr + p->p_vaddr) & ~(PAGE - 1);
    if (p->p_type != PT_LOAD || address < low || address >= info->dlpi_addr + p->p_vaddr + p->p_memsz) continue;
    for (uint32_t k = 0; k < atomic_load(&ups_images_count); k++) {
      const struct ups_image *image = atomic_load(&ups_images[k]);
      if (image->bias == info->dlpi_addr) return image->has_run ? 1 : 2;
    }
    return 1;
  }
  return 0;
}

static bool never_ran(uintptr_t address) {
  return dl_iterate_phdr(in_image, &address) == 2;
}

static const char *parse_hex(const char *text, uintptr_t *value) {
  *value = 0;
  for (;; text++) {
    unsigned digit;
    if (*text >= '0' && *text <= '9')
      digit = (unsigned)(*text - '0');
    else if (*text >= 'a' && *text <= 'f')
      digit = (unsigned)(*text - 'a') + 10;
    else
      return text;
    *value = *value * 16 + digit;
  }
}

/* Fields of a line of /proc/self/maps, from the permissions on: permissions, offset, device, inode. */
static bool is_anonymous(const char *at) {
  for (int field = 0; field < 3 && *at != 0; field++) {
    while (*at != 0 && *at != ' ') at++;
    while (*at == ' ') at++;
  }
  return at[0] == '0' && (at[1] == ' ' || at[1] == 0);
}

/* One line of /proc/self/maps. */
static bool scan_line(struct scan *scan, const char *line, int pages) {
  uintptr_t low, high;
  const char *at = parse_hex(line, &low);
  if (*at++ != '-') return true;
  at = parse_hex(at, &high);
  if (at[0] != ' ' || at[1] != 'r' || at[2] != 'w' || at[4] != 'p') return true;
  if (never_ran(low)) return true;
  const char *what = strstr(line, "[heap]") != NULL ? "the heap" : NULL;
  return is_anonymous(at + 1) ? scan_anonymous(scan, pages, low, high, what) : scan_range(scan, low, high, what);
}

static bool unseen(struct scan *scan) {
  ups_text_add(scan->why, "the process cannot see its own memory map, so pointers to %s cannot be looked for",
               scan->targets[0].name);
  scan->found = true;
  return false;
}

static bool scan_memory(struct scan *scan) {
  struct ups_text maps = {0};
  char piece[4032];
  ssize_t length;
  bool clear = true;
  int fd = ups_proc_maps();
  if (fd < 0) return unseen(scan);
  while ((length = read(fd, piece, sizeof piece)) > 0 && maps.length < MAPS_MOST)
    ups_text_append(&maps, piece, (size_t)length);
  close(fd);
  if (length != 0 || maps.length == 0 || maps.failed) {
    ups_text_free(&maps);
    return unseen(scan);
  }
  int pages = ups_proc_open("pagemap", O_RDONLY);
  char *line = maps.bytes;
  while (clear && line != NULL && *line != 0) {
    char *end = strchr(line, '\n');
    if (end != NULL) *end = 0;
    clear = scan_line(scan, line, pages);
    line = end != NULL ? end + 1 : NULL;
  }
  if (pages >= 0) close(pages);
  ups_text_free(&maps);
  return clear;
}

/* ---- Frames ----------------------------------------------------------------------------------------------------------------- */

bool ups_kept_at(const struct ups_frame *f, uint32_t offset) {
  for (const struct ups_kept *k = f->kept; k != NULL; k = k->next)
    if (k->offset == offset) return true;
  return false;
}

/* The data of a frame, without the addresses at the beginning of kept slots: those are ours, not the program's. */
static bool scan_data(struct scan *scan, const struct ups_frame *f, const char *what) {
  uintptr_t data = (uintptr_t)f->data;
  for (uint32_t offset = 0; offset + 8 <= f->size; offset += 8)
    if (!ups_kept_at(f, offset) && !scan_words(scan, data + offset, data + offset + 8, what)) return false;
  return true;
}

static bool scan_frames(struct scan *scan, struct ups_thread *t) {
  const struct ups_image *image = atomic_load(&ups_current);
  struct ups_extent extent;
  for (const struct ups_frame *f = t->outermost; f != NULL; f = f->inner) {
    struct ups_text what = {0};
    ups_text_add(&what, "a local variable of %s() (thread %d)", ups_image_name(image, f->position.function),
                 atomic_load(&t->tid));
    bool clear = scan_data(scan, f, ups_text_string(&what));
    for (const struct ups_kept *k = f->kept; clear && k != NULL; k = k->next)
      for (unsigned i = 0; clear && ups_kept_extent(t, k, i, &extent); i++)
        clear = scan_words(scan, extent.low, extent.high, ups_text_string(&what));
    ups_text_free(&what);
    if (!clear) return false;
  }
  return true;
}

bool ups_scan(const struct ups_target *targets, size_t count, struct ups_text *why) {
  struct scan scan = {.targets = targets, .count = count, .low = UINTPTR_MAX, .why = why};
  for (size_t i = 0; i < count; i++) {
    if (targets[i].low < scan.low) scan.low = targets[i].low;
    if (targets[i].high > scan.high) scan.high = targets[i].high;
  }
  if (count == 0) return false;
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next)
    if (atomic_load(&t->state) == UPS_UNROLLED && !scan_frames(&scan, t)) return true;
  if (list_left_out(&scan)) scan_memory(&scan);
  ups_unmap(scan.left_out);
  return scan.found;
}
