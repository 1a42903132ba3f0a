/*
 * Calls of the C library from what sleeps.
 *
 * If the linker bound them, a program would have an entry of its procedure linkage table for each, awake as its text is,
 * and the dynamic linker would look for each when the program starts. So they lead through stubs that sleep as well
 * (upstare/driver/far.py makes them, and the two lists here), and are bound when the runtime wakes: to what the dynamic
 * linker would have found, the first definition among the objects in the order in which they were loaded, of the version
 * that a link would choose today.
 *
 * This is in a signal handler, so nobody is asked: whoever is being loaded or unloaded just now is behind the C library in
 * the list, where nothing is looked for that a program could start without. And nothing here can call what is not bound
 * yet: no function of the C library, not even one that the compiler sees in a loop.
 */
#define _GNU_SOURCE
#include <link.h>

#include "runtime.h"

extern const char ups_far_names[]; /* one after the other; an empty one ends them */
extern void *ups_far_places[];     /* ... where the stubs lead */

#define HIDDEN_VERSION 0x8000u /* not for those who are linked today */

struct object {
  uintptr_t bias;
  const Elf64_Sym *symbols;
  const char *strings;
  const uint32_t *gnu_hash, *hash; /* one of them may be null */
  const Elf64_Versym *versions;    /* may be null */
  const Elf64_Verdef *definitions; /* may be null */
};

static bool begins(const char *text, const char *with) {
  while (*with != 0 && *text == *with) text++, with++;
  return *with == 0;
}

static bool same(const char *a, const char *b) {
  while (*a != 0 && *a == *b) a++, b++;
  return *a == *b;
}

/* Addresses in the dynamic section are as the file has them, or as the dynamic linker has made them. */
static const void *at(const struct link_map *map, uint64_t address) {
  return (const void *)(uintptr_t)(address < map->l_addr ? address + map->l_addr : address);
}

static struct object object_of(const struct link_map *map) {
  struct object object = {.bias = map->l_addr};
  for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
    const void *address = at(map, entry->d_un.d_ptr);
    if (entry->d_tag == DT_SYMTAB) object.symbols = address;
    if (entry->d_tag == DT_STRTAB) object.strings = address;
    if (entry->d_tag == DT_GNU_HASH) object.gnu_hash = address;
    if (entry->d_tag == DT_HASH) object.hash = address;
    if (entry->d_tag == DT_VERSYM) object.versions = address;
    if (entry->d_tag == DT_VERDEF) object.definitions = address;
  }
  return object;
}

/* A program's reference has a version of the C library; the kernel's object, for one, has the same names with others. */
static bool fits(const struct object *object, uint32_t index) {
  if (object->versions == NULL) return true;
  uint32_t version = object->versions[index];
  if (version <= VER_NDX_GLOBAL) return version == VER_NDX_GLOBAL;
  if ((version & HIDDEN_VERSION) || object->definitions == NULL) return false;
  for (const Elf64_Verdef *d = object->definitions;; d = (const void *)((const char *)d + d->vd_next)) {
    const Elf64_Verdaux *name = (const void *)((const char *)d + d->vd_aux);
    if (d->vd_ndx == version) return begins(object->strings + name->vda_name, "GLIBC_");
    if (d->vd_next == 0) return false;
  }
}

/* Where the symbol says, if it is a function of this name. */
static void *function(const struct object *object, uint32_t index, const char *name) {
  const Elf64_Sym *symbol = &object->symbols[index];
  unsigned type = ELF64_ST_TYPE(symbol->st_info);
  if (symbol->st_shndx == SHN_UNDEF || ELF64_ST_BIND(symbol->st_info) == STB_LOCAL) return NULL;
  if ((type != STT_FUNC && type != STT_GNU_IFUNC) || !same(object->strings + symbol->st_name, name)) return NULL;
  if (!fits(object, index)) return NULL;
  uintptr_t address = object->bias + symbol->st_value;
  return type == STT_FUNC ? (void *)address : ((void *(*)(void))address)();
}

static void *find_by_gnu_hash(const struct object *object, const char *name) {
  const uint32_t *table = object->gnu_hash, buckets = table[0], first = table[1], blooms = table[2];
  const uint64_t *bloom = (const void *)(table + 4);
  const uint32_t *bucket = (const void *)(bloom + blooms), *chain = bucket + buckets;
  uint32_t hash = 5381;
  for (const char *c = name; *c != 0; c++) hash = hash * 33 + (unsigned char)*c;
  uint64_t bits = bloom[hash / 64 % blooms];
  if (!(bits >> hash % 64 & bits >> (hash >> table[3]) % 64 & 1)) return NULL;
  uint32_t index = bucket[hash % buckets];
  if (index < first) return NULL;
  for (;; index++) {
    void *found = (chain[index - first] ^ hash) >> 1 == 0 ? function(object, index, name) : NULL;
    if (found != NULL || (chain[index - first] & 1)) return found;
  }
}

static void *find_in(const struct object *object, const char *name) {
  if (object->symbols == NULL || object->strings == NULL) return NULL;
  if (object->gnu_hash != NULL) return find_by_gnu_hash(object, name);
  void *found = NULL;
  for (uint32_t index = 1; object->hash != NULL && found == NULL && index < object->hash[1]; index++)
    found = function(object, index, name);
  return found;
}

static const struct link_map *loaded(void) {
  for (const ElfW(Dyn) *entry = _DYNAMIC; entry->d_tag != DT_NULL; entry++)
    if (entry->d_tag == DT_DEBUG) return ((const struct r_debug *)entry->d_un.d_ptr)->r_map;
  return NULL;
}

bool ups_far_bind(void) {
  const struct link_map *all = loaded();
  void **place = ups_far_places;
  for (const char *name = ups_far_names; *name != 0; name++, place++) {
    for (const struct link_map *map = all; map != NULL && *place == NULL; map = map->l_next) {
      struct object object = object_of(map);
      *place = find_in(&object, name);
    }
    if (*place == NULL) return false;
    while (*name != 0) name++;
  }
  return true;
}
