/*
 * The registry of images, and the tables of their points.
 */
#define _GNU_SOURCE
#include <link.h>
#include <sys/mman.h>

#include "blocking.h"
#include "proc.h"
#include "runtime.h"

_Atomic(struct ups_image *) ups_images[UPS_IMAGES];
_Atomic(uint32_t) ups_images_count;
_Atomic(struct ups_image *) ups_current;

#define DAMAGED "the table of update points is damaged: "
#define PAGE 4096u
#define FRONT ((sizeof(struct ups_table) + 63) & ~(size_t)63) /* in front of the copy of a table */

/* ---- Opening a table ---------------------------------------------------------------------------------------------------- */

static bool array_fits(const struct upstare_table *h, uint32_t offset, uint32_t count, size_t size) {
  return offset % 8 == 0 && offset >= sizeof *h && offset <= h->size && count <= (h->size - offset) / size;
}

static const struct upstare_function *function_in(const struct ups_table *t, uint64_t id) {
  uint32_t low = 0, high = t->header->n_functions;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (t->functions[middle].id < id)
      low = middle + 1;
    else
      high = middle;
  }
  return low < t->header->n_functions && t->functions[low].id == id ? &t->functions[low] : NULL;
}

static const char *check_functions(const struct ups_table *t) {
  const struct upstare_table *h = t->header;
  if (h->n_names == 0 || t->names[h->n_names - 1] != 0) return DAMAGED "its names have no end";
  for (uint32_t i = 0; i < h->n_functions; i++) {
    const struct upstare_function *f = &t->functions[i];
    if (f->id < UPS_RUNTIME_IDS || (i > 0 && t->functions[i - 1].id >= f->id)) return DAMAGED "its functions are out of order";
    if (f->name >= h->n_names || f->frame_size > 0x10000000u) return DAMAGED "a function in it is damaged";
  }
  return NULL;
}

static bool operand_ok(const struct upstare_operand *o, uint32_t frame_size) {
  bool kept = o->kind == UPSTARE_OBJECT || o->kind == UPSTARE_POINTER;
  uint64_t need = (uint64_t)o->offset + o->size + (kept ? UPSTARE_KEPT_HEADER : 0);
  if (o->kind > UPSTARE_MEMORY || o->place > UPSTARE_MEM_FS || need > frame_size) return false;
  if (o->sort > UPSTARE_SIZED || (o->sort != UPSTARE_OBJECT_ONLY && !kept)) return false;
  switch (o->place) {
    case UPSTARE_REG: return o->base < 16 && (o->kind != UPSTARE_VALUE || o->size <= 8) && !(o->high && o->base > 3);
    case UPSTARE_XMM: return o->base < 16 && o->kind == UPSTARE_VALUE && o->size <= 16;
    case UPSTARE_IMM: return o->kind != UPSTARE_VALUE || o->size <= 8;
    case UPSTARE_MEM:
    case UPSTARE_MEM_FS: return (o->base < 16 || o->base == 0xff) && (o->index < 16 || o->index == 0xff);
    default: return true;
  }
}

static const char *check_points(const struct ups_table *t) {
  const struct upstare_table *h = t->header;
  for (uint32_t i = 0; i < h->n_points; i++) {
    const struct upstare_point *p = &t->points[i];
    const struct upstare_function *f = function_in(t, p->function);
    if (i > 0 && t->points[i - 1].address >= p->address) return DAMAGED "its points are out of order";
    if (f == NULL) return DAMAGED "a point in it belongs to no function";
    if (p->operand > h->n_operands || p->n_operands > h->n_operands - p->operand) return DAMAGED "a point in it is damaged";
    if (p->next < UPSTARE_NEXT_UNKNOWN || (p->next >= 0 && (uint32_t)p->next >= h->n_points))
      return DAMAGED "a point in it is damaged";
    for (uint32_t k = 0; k < p->n_operands; k++)
      if (!operand_ok(&t->operands[p->operand + k], f->frame_size)) return DAMAGED "an operand in it is damaged";
  }
  for (uint32_t i = 0; i < h->n_returns; i++) {
    const struct upstare_return *r = &t->returns[i];
    if (i > 0 && t->returns[i - 1].address >= r->address) return DAMAGED "its return addresses are out of order";
    if (r->point < UPSTARE_NEXT_UNKNOWN || (r->point >= 0 && (uint32_t)r->point >= h->n_points))
      return DAMAGED "a return address in it is damaged";
  }
  for (uint32_t i = 0; i < h->n_bindings; i++) {
    const struct upstare_binding *b = &t->bindings[i];
    if (b->name >= h->n_names) return DAMAGED "a binding in it is damaged";
    if (i > 0 && strcmp(t->names + b[-1].name, t->names + b->name) >= 0) return DAMAGED "its bindings are out of order";
  }
  for (uint32_t i = 0; i < h->n_ranges; i++)
    if (t->ranges[i].begin > t->ranges[i].end || (i > 0 && t->ranges[i - 1].end > t->ranges[i].begin))
      return DAMAGED "its ranges are out of order";
  return NULL;
}

static bool before(const struct ups_table *t, uint32_t a, uint32_t b) {
  const struct upstare_point *p = &t->points[a], *q = &t->points[b];
  if (p->function != q->function) return p->function < q->function;
  return p->point != q->point ? p->point < q->point : a < b;
}

static void sift(const struct ups_table *t, uint32_t *order, uint32_t root, uint32_t count) {
  for (uint32_t child; (child = 2 * root + 1) < count; root = child) {
    if (child + 1 < count && before(t, order[child], order[child + 1])) child++;
    if (!before(t, order[root], order[child])) return;
    uint32_t swap = order[root];
    order[root] = order[child];
    order[child] = swap;
  }
}

/* Heap sort: qsort may take the program's memory. */
static void sort_points(const struct ups_table *t, uint32_t *order) {
  uint32_t n = t->header->n_points;
  for (uint32_t i = 0; i < n; i++) order[i] = i;
  for (uint32_t i = n / 2; i-- > 0;) sift(t, order, i, n);
  for (uint32_t i = n; i-- > 1;) {
    uint32_t swap = order[0];
    order[0] = order[i];
    order[i] = swap;
    sift(t, order, 0, i);
  }
}

const struct ups_table *ups_table_open(const unsigned char *bytes, size_t size, const char **why) {
  struct upstare_table h;
  *why = DAMAGED "its header";
  if (size < sizeof h) return NULL;
  memcpy(&h, bytes, sizeof h);
  if (h.magic != UPSTARE_TABLE_MAGIC || h.size > size || h.size < sizeof h) return NULL;
  if (h.abi != UPSTARE_ABI) {
    *why = "the table of update points is of another UpStare release";
    return NULL;
  }
  if (!array_fits(&h, h.functions, h.n_functions, sizeof(struct upstare_function)) ||
      !array_fits(&h, h.points, h.n_points, sizeof(struct upstare_point)) ||
      !array_fits(&h, h.returns, h.n_returns, sizeof(struct upstare_return)) ||
      !array_fits(&h, h.operands, h.n_operands, sizeof(struct upstare_operand)) ||
      !array_fits(&h, h.ranges, h.n_ranges, sizeof(struct upstare_range)) ||
      !array_fits(&h, h.bindings, h.n_bindings, sizeof(struct upstare_binding)) ||
      h.names > h.size || h.n_names > h.size - h.names)
    return NULL;
  /* A copy: aligned, and out of reach of whoever may write to the file. */
  size_t room = (h.size + 7u) & ~(size_t)7;
  unsigned char *memory = ups_map(FRONT + room + (size_t)h.n_points * sizeof(uint32_t));
  if (memory == NULL) {
    *why = "no memory for the table of update points";
    return NULL;
  }
  struct ups_table *t = (struct ups_table *)memory;
  unsigned char *copy = memory + FRONT;
  uint32_t *order = (uint32_t *)(copy + room);
  memcpy(copy, bytes, h.size);
  t->header = (const void *)copy;
  t->functions = (const void *)(copy + h.functions);
  t->points = (const void *)(copy + h.points);
  t->returns = (const void *)(copy + h.returns);
  t->operands = (const void *)(copy + h.operands);
  t->ranges = (const void *)(copy + h.ranges);
  t->bindings = (const void *)(copy + h.bindings);
  t->names = (const char *)copy + h.names;
  const char *problem = check_functions(t);
  if (problem == NULL) problem = check_points(t);
  if (problem != NULL) {
    *why = problem;
    ups_unmap(memory);
    return NULL;
  }
  sort_points(t, order);
  t->order = order;
  return t;
}

bool ups_image_set_table(struct ups_image *image, const struct ups_table *table) {
  if (memcmp(table->header->build, image->info->build, sizeof image->info->build) != 0) return false;
  uint32_t n = table->header->n_ranges;
  image->low = n != 0 ? table->ranges[0].begin + image->bias : 0;
  image->high = n != 0 ? table->ranges[n - 1].end + image->bias : 0;
  atomic_store_explicit(&image->table, table, memory_order_release); /* pairs with the acquire in ups_image_at */
  return true;
}

/* ---- Lookups ------------------------------------------------------------------------------------------------------------ */

static bool in_ranges(const struct ups_table *t, uint64_t address) {
  uint32_t low = 0, high = t->header->n_ranges; /* the first range that ends above the address */
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (t->ranges[middle].end <= address)
      low = middle + 1;
    else
      high = middle;
  }
  return low < t->header->n_ranges && t->ranges[low].begin <= address;
}

struct ups_image *ups_image_at(uintptr_t address) {
  uint32_t count = atomic_load_explicit(&ups_images_count, memory_order_acquire);
  for (uint32_t i = count; i-- > 0;) {
    struct ups_image *image = atomic_load_explicit(&ups_images[i], memory_order_acquire);
    const struct ups_table *t = atomic_load_explicit(&image->table, memory_order_acquire);
    if (t != NULL && address >= image->low && address < image->high && in_ranges(t, address - image->bias))
      return image;
  }
  return NULL;
}

bool ups_image_is_current(const struct ups_image *image) {
  const struct ups_image *current = atomic_load(&ups_current);
  return image == current || memcmp(image->info->build, current->info->build, sizeof image->info->build) == 0;
}

int32_t ups_image_point(const struct ups_image *image, uintptr_t address) {
  const struct ups_table *t = atomic_load_explicit(&image->table, memory_order_acquire);
  uint64_t wanted = address - image->bias;
  uint32_t low = 0, high = t->header->n_points;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (t->points[middle].address < wanted)
      low = middle + 1;
    else
      high = middle;
  }
  return low < t->header->n_points && t->points[low].address == wanted ? (int32_t)low : -1;
}

const struct upstare_return *ups_image_return(const struct ups_image *image, uintptr_t address) {
  const struct ups_table *t = atomic_load_explicit(&image->table, memory_order_acquire);
  uint64_t wanted = address - image->bias;
  uint32_t low = 0, high = t->header->n_returns;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (t->returns[middle].address < wanted)
      low = middle + 1;
    else
      high = middle;
  }
  return low < t->header->n_returns && t->returns[low].address == wanted ? &t->returns[low] : NULL;
}

const struct upstare_function *ups_image_function(const struct ups_image *image, uint64_t id) {
  const struct ups_table *t = atomic_load_explicit(&image->table, memory_order_acquire);
  return t == NULL ? NULL : function_in(t, id);
}

/* Where the copies of a point begin in the order. */
static uint32_t copies(const struct ups_table *t, uint64_t function, uint32_t point) {
  uint32_t low = 0, high = t->header->n_points;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    const struct upstare_point *p = &t->points[t->order[middle]];
    if (p->function < function || (p->function == function && p->point < point))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static const struct upstare_point *copy_at(const struct ups_table *t, uint32_t at, uint64_t function, uint32_t point) {
  if (at >= t->header->n_points) return NULL;
  const struct upstare_point *p = &t->points[t->order[at]];
  return p->function == function && p->point == point ? p : NULL;
}

const struct upstare_point *ups_image_point_of(const struct ups_image *image, uint64_t function, uint32_t point) {
  const struct ups_table *t = atomic_load_explicit(&image->table, memory_order_acquire);
  return t == NULL ? NULL : copy_at(t, copies(t, function, point), function, point);
}

const struct upstare_point *ups_image_point_next(const struct ups_image *image, const struct upstare_point *point) {
  const struct ups_table *t = atomic_load_explicit(&image->table, memory_order_acquire);
  uint32_t at = copies(t, point->function, point->point);
  while (&t->points[t->order[at]] != point) at++;
  return copy_at(t, at + 1, point->function, point->point);
}

uint32_t ups_images_largest_frame(void) {
  uint32_t largest = 0;
  for (uint32_t i = 0; i < atomic_load(&ups_images_count); i++) {
    const struct ups_table *t = atomic_load(&atomic_load(&ups_images[i])->table);
    for (uint32_t k = 0; t != NULL && k < t->header->n_functions; k++)
      if (t->functions[k].frame_size > largest) largest = t->functions[k].frame_size;
  }
  return largest;
}

const char *ups_image_name(const struct ups_image *image, uint64_t function) {
  if (function < UPS_RUNTIME_IDS) {
    const char *name = ups_blocking_name(function);
    return name ? name : "?";
  }
  const struct ups_image *clones = ups_image_clones(image); /* has more: functions all of whose calls are tail calls */
  const struct ups_table *t = atomic_load_explicit(&(clones ? clones : image)->table, memory_order_acquire);
  const struct upstare_function *f = t == NULL ? NULL : function_in(t, function);
  return f ? t->names + f->name : "?";
}

uintptr_t ups_image_binding(const struct ups_image *image, const char *name) {
  const struct ups_table *t = atomic_load_explicit(&image->table, memory_order_acquire);
  uint32_t low = 0, high = t == NULL ? 0 : t->header->n_bindings;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    int order = strcmp(t->names + t->bindings[middle].name, name);
    if (order == 0) return t->bindings[middle].address + image->bias;
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return 0;
}

const struct ups_image *ups_image_clones(const struct ups_image *image) {
  return image->info->apart ? atomic_load_explicit(&image->twin, memory_order_acquire) : image;
}

void (*ups_image_resume(const struct ups_image *image, uint64_t function))(void) {
  if (function < UPS_RUNTIME_IDS) return (void (*)(void))ups_blocking_resume;
  image = ups_image_clones(image);
  const struct upstare_function *f = image == NULL ? NULL : ups_image_function(image, function);
  if (f == NULL || f->resume == 0) return NULL;
  return (void (*)(void))(uintptr_t)(f->resume + image->bias);
}

/* ---- The registry ------------------------------------------------------------------------------------------------------- */

struct ups_image *ups_image_add(const struct ups_image *image) {
  uint32_t count = atomic_load(&ups_images_count);
  if (count == UPS_IMAGES) return NULL;
  struct ups_image *copy = ups_map(sizeof *copy);
  if (copy == NULL) return NULL;
  memcpy(copy, image, sizeof *copy);
  atomic_store(&ups_images[count], copy);
  atomic_store_explicit(&ups_images_count, count + 1, memory_order_release); /* pairs with ups_image_at */
  return copy;
}

bool ups_image_read_self(struct ups_image *image) {
  if (atomic_load(&image->table) != NULL) return true;
  int fd = ups_proc_open("exe", O_RDONLY);
  if (fd < 0) return false;
  struct ups_elf file;
  bool done = false;
  if (ups_elf_open(fd, &file)) {
    size_t size = 0;
    const char *why;
    const unsigned char *bytes = ups_elf_section(&file, UPSTARE_SECTION_TABLE, &size);
    const struct ups_table *table = bytes == NULL ? NULL : ups_table_open(bytes, size, &why);
    done = table != NULL && ups_image_set_table(image, table);
    ups_elf_close(&file);
  }
  close(fd);
  return done;
}
