/* Damaged tables of update points and damaged ELF files against their readers: FILE SECONDS SEED. The readers must say
 * no, or give a table that can be searched without harm (built with the address sanitizer). */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

/* What the runtime's header does not let its files call. */
static void *take(size_t size) { return calloc(1, size); }
static void give(void *memory) { free(memory); }
static void die(void) { abort(); }
static void say(unsigned long a, unsigned long b, unsigned long c) {
  printf("%lu tried, %lu tables accepted, %lu sections found\n", a, b, c);
}

#include "runtime.h"

static const struct upstare_image_info self;
const struct upstare_image_info *ups_self_info(void) { return &self; }
const char *ups_blocking_name(uint64_t id) { return id == 1 ? "read" : NULL; }
long ups_blocking_resume(void) { return 0; }
void *ups_map(size_t size) { return take(size); }
void ups_unmap(void *memory) { give(memory); }

static uint64_t state;

static uint64_t chance(uint64_t below) {
  state = state * 6364136223846793005ull + 1442695040888963407ull;
  return (state >> 33) % below;
}

static void damage(unsigned char *bytes, size_t size) {
  static const uint64_t edges[] = {0, 1, 7, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, ~0ull};
  for (uint64_t n = 1 + chance(6); n > 0; n--) {
    size_t at = chance(3) == 0 ? chance(size < 128 ? size : 128) : chance(size);
    uint64_t value = chance(2) == 0 ? edges[chance(8)] : chance(~0u) << 8 ^ chance(~0u);
    size_t width = (size_t)1 << chance(4);
    for (size_t i = 0; i < width && at + i < size; i++) bytes[at + i] = (unsigned char)(value >> 8 * i);
  }
}

static void search(const struct ups_table *table) {
  struct ups_image image = {.info = &self, .bias = 0x1000};
  if (!ups_image_set_table(&image, table)) die();
  for (int i = 0; i < 200; i++) {
    uint64_t any = i % 2 == 0 ? chance(1 << 20) : table->header->n_points ? table->points[chance(table->header->n_points)].address : 0;
    int32_t at = ups_image_point(&image, any + image.bias);
    ups_image_return(&image, any + image.bias);
    if (at >= 0) {
      const struct upstare_point *p = &table->points[at];
      const char *name = ups_image_name(&image, p->function);
      if (name[0] == 1 && name[1] == 2) die();
      for (const struct upstare_point *q = ups_image_point_of(&image, p->function, p->point); q != NULL;
           q = ups_image_point_next(&image, q))
        if (q->n_operands != 0 && table->operands[q->operand + q->n_operands - 1].kind == 99) die();
      ups_image_resume(&image, p->function);
    }
  }
}

int main(int count, char **words) {
  if (count != 4) return 2;
  FILE *file = fopen(words[1], "rb");
  static unsigned char original[1 << 24], copy[1 << 24];
  size_t size = file == NULL ? 0 : fread(original, 1, sizeof original, file);
  time_t end = time(NULL) + atoi(words[2]);
  state = strtoull(words[3], NULL, 10);
  size_t table_size = 0;
  int fd = memfd_create("original", 0);
  struct ups_elf whole;
  if (write(fd, original, size) != (ssize_t)size || !ups_elf_open(fd, &whole)) return 2;
  const unsigned char *table = ups_elf_section(&whole, UPSTARE_SECTION_TABLE, &table_size);
  unsigned long tried = 0, accepted = 0, sections = 0;
  while (time(NULL) < end) {
    const char *why = NULL;
    memcpy(copy, table, table_size);
    damage(copy, table_size);
    size_t length = chance(4) == 0 ? chance(table_size + 1) : table_size;
    unsigned char *exact = take(length + 1); /* so that reading too far is found */
    memcpy(exact, copy, length);
    const struct ups_table *opened = ups_table_open(exact, length, &why);
    give(exact);
    if (opened != NULL) {
      memcpy((void *)opened->header->build, self.build, sizeof self.build);
      search(opened);
      ups_unmap((void *)opened);
      accepted++;
    } else if (why == NULL) {
      return 3;
    }
    memcpy(copy, original, size);
    damage(copy, size < 64 ? size : chance(2) ? 64 : size);
    if (chance(2) && size > 4096) damage(copy + size - 4096, 4096); /* the section headers */
    int other = memfd_create("damaged", 0);
    struct ups_elf elf;
    size_t part = 0;
    if (write(other, copy, chance(4) == 0 ? chance(size + 1) : size) < 0) return 2;
    if (ups_elf_open(other, &elf)) {
      const unsigned char *bytes = ups_elf_section(&elf, UPSTARE_SECTION_TABLE, &part);
      unsigned sum = 0;
      for (size_t i = 0; bytes != NULL && i < part; i += 4096) sum += bytes[i];
      if (bytes != NULL && part > 0) sum += bytes[part - 1];
      sections += bytes != NULL;
      if (sum == 12345678) die();
      ups_elf_close(&elf);
    }
    close(other);
    tried++;
  }
  say(tried, accepted, sections);
  return 0;
}
