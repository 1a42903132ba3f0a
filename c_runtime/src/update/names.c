/*
 * Names for addresses and positions, for messages.
 */
#define _GNU_SOURCE
#include <dlfcn.h>

#include "proc.h"
#include "update.h"

#define RESUME "upstare$r$"

/* "up$<hash>$name" and its longer forms: what comes last is the name; a number behind it counts namesakes. */
static const char *user_name(const char *symbol, int *length) {
  *length = (int)strlen(symbol);
  if (strncmp(symbol, "up$", 3) != 0) {
    const char *dot = strchr(symbol, '.'); /* "name.constprop.0" */
    if (dot != NULL && dot != symbol) *length = (int)(dot - symbol);
    return symbol;
  }
  const char *last = strrchr(symbol, '$') + 1;
  if (*last >= '0' && *last <= '9') {
    const char *end = last - 1;
    for (last = end; last > symbol && last[-1] != '$'; last--) continue;
    *length = (int)(end - last);
    return last;
  }
  *length = (int)strlen(last);
  return last;
}

static void parse_identity(const char *text, uint64_t *identity) {
  *identity = 0;
  for (; (*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'f'); text++)
    *identity = *identity << 4 | (unsigned)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
}

static void add_name(struct ups_text *text, const char *symbol) {
  int length;
  uint64_t identity;
  if (strncmp(symbol, RESUME, sizeof RESUME - 1) == 0) { /* a resume clone goes by the name of its function */
    parse_identity(symbol + sizeof RESUME - 1, &identity);
    for (uint32_t i = 0; i < atomic_load(&ups_images_count); i++) {
      const struct ups_image *image = atomic_load(&ups_images[i]);
      if (ups_image_function(image, identity) == NULL) continue;
      ups_text_add(text, "%s", ups_image_name(image, identity));
      return;
    }
  }
  const char *shown = user_name(symbol, &length);
  ups_text_add(text, "%.*s", length, shown);
}

/* The executable's symbols are in its file only; it is opened for as long as a name is looked for. */
static bool symbol_of_executable(struct ups_text *text, uintptr_t address, bool function) {
  const struct ups_image *image = atomic_load(&ups_images[0]);
  struct ups_elf file;
  bool found = false;
  int fd = ups_proc_open("exe", O_RDONLY);
  if (fd < 0) return false;
  if (ups_elf_open(fd, &file)) {
    const char *name = ups_elf_symbol(&file, address - image->bias, function);
    if (name != NULL) {
      add_name(text, name);
      found = true;
    }
    ups_elf_close(&file);
  }
  close(fd);
  return found;
}

static bool symbol(struct ups_text *text, uintptr_t address, bool function) {
  Dl_info info;
  for (uint32_t i = 1; i < atomic_load(&ups_images_count); i++) {
    const struct ups_image *image = atomic_load(&ups_images[i]);
    const char *name = ups_elf_symbol(&image->file, address - image->bias, function);
    if (name == NULL) continue;
    add_name(text, name);
    return true;
  }
  if (dladdr((void *)address, &info) == 0) return false;
  if (symbol_of_executable(text, address, function)) return true;
  if (info.dli_sname == NULL) return false;
  add_name(text, info.dli_sname);
  return true;
}

void ups_name_code(struct ups_text *text, uintptr_t address) {
  if (!symbol(text, address - 1, true)) ups_text_add(text, "an unknown function"); /* of the call, not of the return */
}

void ups_name_data(struct ups_text *text, uintptr_t address) {
  Dl_info info;
  if (symbol(text, address, false)) return;
  if (dladdr((void *)address, &info) != 0 && info.dli_fname != NULL) {
    const char *slash = strrchr(info.dli_fname, '/');
    ups_text_add(text, "a variable of %s", slash ? slash + 1 : info.dli_fname);
  } else {
    ups_text_add(text, "memory at %#lx", (unsigned long)address);
  }
}

void ups_name_position(struct ups_text *text, const struct ups_position *position) {
  const struct ups_image *image = atomic_load(&ups_current);
  const struct upstare_point *point = ups_image_point_of(image, position->function, position->point);
  ups_text_add(text, "%s()", ups_image_name(image, position->function));
  if (point != NULL && point->line != 0) ups_text_add(text, ", line %u", point->line);
}
