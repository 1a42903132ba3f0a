/*
 * A patch is led to the variables, slots and stable entries of the executable, and to the runtime in it.
 *
 * The executable does not export them: the tables of the dynamic linker would take memory in every process. The
 * bindings in its point table say where they are. The dynamic linker has done the rest of a patch's relocations by now.
 * It leaves those alone whose symbols it does not find (they are weak), and it has bound those that an earlier patch has
 * added or that this one defines; what the executable has comes before both, as it would if it exported it.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <link.h>
#include <sys/mman.h>

#include "update.h"

#define PAGE ((uintptr_t)4096)

struct image {
  uintptr_t bias;
  const Elf64_Sym *symbols;
  const char *strings;
};

/* Addresses in the dynamic section are as the file has them, or as the dynamic linker has made them. */
static const void *at(const struct link_map *map, uint64_t address) {
  return (const void *)(uintptr_t)(address < map->l_addr ? address + map->l_addr : address);
}

static bool begins(const char *name, const char *with) { return strncmp(name, with, strlen(with)) == 0; }

static bool shared(const char *name) {
  if (begins(name, "__wrap_")) return strstr(name, "longjmp") != NULL;
  return begins(name, "up$") || begins(name, "upe$") || begins(name, "ups$") || begins(name, "upstare_");
}

static const char *bind(const struct image *image, const Elf64_Rela *list, size_t count) {
  static char missing[256];
  for (const Elf64_Rela *r = list; r < list + count; r++) {
    uint64_t type = ELF64_R_TYPE(r->r_info);
    const Elf64_Sym *symbol = &image->symbols[ELF64_R_SYM(r->r_info)];
    const char *name = image->strings + symbol->st_name;
    if (type != R_X86_64_64 && type != R_X86_64_GLOB_DAT && type != R_X86_64_JUMP_SLOT) continue;
    if (!shared(name)) continue;
    uint64_t addend = type == R_X86_64_64 ? (uint64_t)r->r_addend : 0;
    uint64_t *place = (uint64_t *)(image->bias + r->r_offset);
    uintptr_t value = ups_image_binding(atomic_load(&ups_images[0]), name);
    if (value != 0) {
      *place = value + addend;
    } else if (*place == addend) {
      snprintf(missing, sizeof missing, "the patch needs %s, which the program does not have", name);
      return missing;
    }
  }
  return NULL;
}

/* What is only to be read once it is relocated (RELRO) can be written, or not any more. */
static bool protect(const struct link_map *map, int protection) {
  const Elf64_Ehdr *header = (const void *)map->l_addr;
  const Elf64_Phdr *segment = (const void *)(map->l_addr + header->e_phoff);
  for (unsigned i = 0; i < header->e_phnum; i++, segment++) {
    uintptr_t begin = (map->l_addr + segment->p_vaddr) & ~(PAGE - 1);
    uintptr_t end = (map->l_addr + segment->p_vaddr + segment->p_memsz) & ~(PAGE - 1);
    if (segment->p_type == PT_GNU_RELRO && begin < end && mprotect((void *)begin, end - begin, protection) != 0)
      return false;
  }
  return true;
}

const char *ups_bind(const struct link_map *map) {
  struct image image = {.bias = map->l_addr};
  const Elf64_Rela *list = NULL, *calls = NULL;
  size_t size = 0, calls_size = 0;
  for (const Elf64_Dyn *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
    switch (entry->d_tag) {
      case DT_SYMTAB: image.symbols = at(map, entry->d_un.d_ptr); break;
      case DT_STRTAB: image.strings = at(map, entry->d_un.d_ptr); break;
      case DT_RELA: list = at(map, entry->d_un.d_ptr); break;
      case DT_RELASZ: size = entry->d_un.d_val; break;
      case DT_JMPREL: calls = at(map, entry->d_un.d_ptr); break;
      case DT_PLTRELSZ: calls_size = entry->d_un.d_val; break;
      default: break;
    }
  }
  if (image.symbols == NULL || image.strings == NULL) return "the patch has no symbols";
  if (atomic_load(&atomic_load(&ups_images[0])->table) == NULL) return "the update points of the executable are not known";
  if (!protect(map, PROT_READ | PROT_WRITE)) return "the memory of the patch cannot be written";
  const char *why = bind(&image, list, size / sizeof *list);
  if (why == NULL) why = bind(&image, calls, calls_size / sizeof *calls);
  if (!protect(map, PROT_READ) && why == NULL) why = "the memory of the patch cannot be protected";
  return why;
}
