/*
 * The versions of the program in this process, and what their tables say.
 *
 * Images are never unloaded and never change, but for `table`, which arrives late for the executable. So they are read
 * without locks, in handlers too. Only the agent adds images (and main's thread at start).
 */
#ifndef UPS_IMAGES_H
#define UPS_IMAGES_H

#pragma GCC visibility push(hidden)

/* A table, checked once (ups_table_open): every index and offset in it is in bounds, every array is in order. */
struct ups_table {
  const struct upstare_table *header;
  const struct upstare_function *functions;
  const struct upstare_point *points;
  const struct upstare_return *returns;
  const struct upstare_operand *operands;
  const struct upstare_range *ranges;
  const struct upstare_binding *bindings;
  const char *names;
  const uint32_t *order; /* the points by (function, point, address) */
};

struct ups_elf { /* a file in memory, see elf.c */
  const unsigned char *bytes;
  size_t size;
};

struct ups_image {
  const struct upstare_image_info *info;
  uintptr_t bias;      /* address in memory minus link-time address */
  uintptr_t low, high; /* of the text of transformed units, in memory; valid with `table` */
  _Atomic(const struct ups_table *) table; /* null: not there yet */
  const struct upstare_patch *patch;       /* what brought it; null for the executable */
  struct ups_elf file;                     /* size 0: not at hand */
  _Atomic(uint32_t) armed;
  bool has_run; /* agent's */
  _Atomic(struct ups_image *) twin; /* the same version with resume clones; null: this one has them, or it is not there */
};

#define UPS_IMAGES 1024u
extern _Atomic(struct ups_image *) ups_images[UPS_IMAGES];
extern _Atomic(uint32_t) ups_images_count;
extern _Atomic(struct ups_image *) ups_current; /* the version that runs */

struct ups_image *ups_image_add(const struct ups_image *image); /* a copy; null: no room. agent. */

/* The executable's own table, from its own file. False: not to be had. any. */
bool ups_image_read_self(struct ups_image *image);

/* A table in memory, checked. Null: damaged, `why` says how. agent, main's thread. */
const struct ups_table *ups_table_open(const unsigned char *bytes, size_t size, const char **why);
bool ups_image_set_table(struct ups_image *image, const struct ups_table *table);

/* Is this code of the version that runs? (There may be two forms of it: the executable, and a patch that led back.) A
 * thread of a library may have called an older one through a pointer of its own; its frames mean other things. any. */
bool ups_image_is_current(const struct ups_image *image);

/* The image whose transformed text the address is in, null: none. any. */
struct ups_image *ups_image_at(uintptr_t address);

/* Index of the point whose no-op is at `address`, of the record of the return address; -1: none. any. */
int32_t ups_image_point(const struct ups_image *image, uintptr_t address);
const struct upstare_return *ups_image_return(const struct ups_image *image, uintptr_t address);
const struct upstare_function *ups_image_function(const struct ups_image *image, uint64_t id);
/* The first copy of a point (null: it has none), and the one after that: parts and copies of one point. */
const struct upstare_point *ups_image_point_of(const struct ups_image *image, uint64_t function, uint32_t point);
const struct upstare_point *ups_image_point_next(const struct ups_image *image, const struct upstare_point *point);
uint32_t ups_images_largest_frame(void); /* of all tables */
const char *ups_image_name(const struct ups_image *image, uint64_t function); /* "?" if unknown */

/* Where the image has what patches share with it under this name; 0: it has not. any. */
uintptr_t ups_image_binding(const struct ups_image *image, const char *name);

/* Where the resume clones of this version are: the image itself, or its twin. Null: nowhere. any. */
const struct ups_image *ups_image_clones(const struct ups_image *image);

/* The code that resumes a frame of the function in this version. Null: there is none. any. */
void (*ups_image_resume(const struct ups_image *image, uint64_t function))(void);

/* ---- elf.c ------------------------------------------------------------------------------------------------------------- */

bool ups_elf_open(int fd, struct ups_elf *elf); /* maps the file; false: errno says why. any. */
void ups_elf_close(struct ups_elf *elf);
const unsigned char *ups_elf_section(const struct ups_elf *elf, const char *name, size_t *size); /* null: none. any. */

/* Name of the function that holds the link-time address in .symtab (else .dynsym); null: none. any. */
const char *ups_elf_symbol(const struct ups_elf *elf, uint64_t address, bool function);

#pragma GCC visibility pop

#endif
