/*
 * Sections and symbols of an ELF file in memory. Every offset in the file is checked: a damaged file gives "not there".
 */
#define _GNU_SOURCE
#include <elf.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "runtime.h"

bool ups_elf_open(int fd, struct ups_elf *elf) {
  struct stat status;
  *elf = (struct ups_elf){NULL, 0};
  errno = ENOEXEC;
  if (fstat(fd, &status) != 0 || status.st_size < (off_t)sizeof(Elf64_Ehdr)) return false;
  void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (bytes == MAP_FAILED) return false;
  const Elf64_Ehdr *header = bytes;
  if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64 ||
      header->e_shentsize != sizeof(Elf64_Shdr)) {
    munmap(bytes, (size_t)status.st_size);
    errno = ENOEXEC;
    return false;
  }
  elf->bytes = bytes;
  elf->size = (size_t)status.st_size;
  return true;
}

void ups_elf_close(struct ups_elf *elf) {
  if (elf->size != 0) munmap((void *)(uintptr_t)elf->bytes, elf->size);
  *elf = (struct ups_elf){NULL, 0};
}

static const void *piece(const struct ups_elf *elf, uint64_t offset, uint64_t size) {
  if (offset > elf->size || size > elf->size - offset) return NULL;
  return elf->bytes + offset;
}

/* Header of section `index`, null: none. */
static const Elf64_Shdr *section(const struct ups_elf *elf, uint32_t index) {
  const Elf64_Ehdr *header = (const void *)elf->bytes;
  if (index >= header->e_shnum || header->e_shoff % 8 != 0) return NULL;
  if (header->e_shoff > elf->size) return NULL;
  return piece(elf, header->e_shoff + (uint64_t)index * sizeof(Elf64_Shdr), sizeof(Elf64_Shdr));
}

/* String at `offset` in string section `index`, null: not a terminated string there. */
static const char *string(const struct ups_elf *elf, uint32_t index, uint64_t offset) {
  const Elf64_Shdr *strings = section(elf, index);
  if (strings == NULL || strings->sh_type == SHT_NOBITS || offset >= strings->sh_size) return NULL;
  const char *text = piece(elf, strings->sh_offset, strings->sh_size);
  if (text == NULL || memchr(text + offset, 0, strings->sh_size - offset) == NULL) return NULL;
  return text + offset;
}

const unsigned char *ups_elf_section(const struct ups_elf *elf, const char *name, size_t *size) {
  if (elf->size == 0) return NULL;
  const Elf64_Ehdr *header = (const void *)elf->bytes;
  for (uint32_t i = 0; i < header->e_shnum; i++) {
    const Elf64_Shdr *s = section(elf, i);
    if (s == NULL) return NULL;
    const char *found = string(elf, header->e_shstrndx, s->sh_name);
    if (found == NULL || strcmp(found, name) != 0 || s->sh_type == SHT_NOBITS) continue;
    *size = s->sh_size;
    return piece(elf, s->sh_offset, s->sh_size);
  }
  return NULL;
}

static const char *symbol_in(const struct ups_elf *elf, const Elf64_Shdr *table, uint64_t address, unsigned type) {
  if (table->sh_entsize != sizeof(Elf64_Sym) || table->sh_offset % 8 != 0) return NULL;
  const Elf64_Sym *symbols = piece(elf, table->sh_offset, table->sh_size);
  if (symbols == NULL) return NULL;
  for (uint64_t i = 0; i < table->sh_size / sizeof *symbols; i++) {
    const Elf64_Sym *s = &symbols[i];
    if (ELF64_ST_TYPE(s->st_info) == type && s->st_shndx != SHN_UNDEF && address >= s->st_value &&
        address - s->st_value < s->st_size)
      return string(elf, table->sh_link, s->st_name);
  }
  return NULL;
}

const char *ups_elf_symbol(const struct ups_elf *elf, uint64_t address, bool function) {
  if (elf->size == 0) return NULL;
  const Elf64_Ehdr *header = (const void *)elf->bytes;
  static const uint32_t kinds[] = {SHT_SYMTAB, SHT_DYNSYM};
  for (size_t k = 0; k < 2; k++) {
    for (uint32_t i = 0; i < header->e_shnum; i++) {
      const Elf64_Shdr *s = section(elf, i);
      if (s == NULL || s->sh_type != kinds[k]) continue;
      const char *name = symbol_in(elf, s, address, function ? STT_FUNC : STT_OBJECT);
      if (name != NULL) return name;
    }
  }
  return NULL;
}
