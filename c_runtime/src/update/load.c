/*
 * A patch gets into memory: the new image by way of the dynamic linker, its tables, and what it says of itself.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <sys/stat.h>

#include "proc.h"
#include "update.h"

#define SECTION_OLD_TABLE ".upstare.oldpoints"
#define DESCRIPTOR_PATH_MOST 4000

static unsigned loads; /* images loaded so far, for names that the dynamic linker has not seen */

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
  if (!ups_proc_is_there()) return NULL;
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

/* Without /proc (a chroot): by way of a file that exists for a moment. Root makes one for us, which nobody else can. */
static void *load_left(int fd) {
  struct stat file, left;
  char path[64];
  if (fstat(fd, &file) != 0) return NULL;
  snprintf(path, sizeof path, "/.upstare-%llx", (unsigned long long)file.st_ino);
  if (lstat(path, &left) != 0 || !S_ISREG(left.st_mode) || left.st_uid != 0 || (left.st_mode & 022) != 0) return NULL;
  return dlopen(path, RTLD_NOW | RTLD_GLOBAL);
}

/* Or we make one, where we can. */
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
  if (handle == NULL && access("/proc/self/fd", X_OK) != 0) {
    handle = load_left(fd);
    if (handle == NULL) handle = load_copy(file);
  }
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

static bool is_twin(const struct upstare_patch *patch) {
  return memcmp(patch->from, patch->to, sizeof patch->from) == 0;
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
  if (dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0) {
    *why = dlerror();
    goto out;
  }
  *why = ups_bind(map);
  if (*why != NULL) goto out;
  image.patch = dlsym(handle, "upstare_patch");
  *why = check_patch(image.patch, current);
  if (*why != NULL) goto out;
  *why = "the patch has no table of update points";
  const unsigned char *bytes = ups_elf_section(file, UPSTARE_SECTION_TABLE, &size);
  if (bytes == NULL) goto out;
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

static bool open_file(int fd, struct ups_elf *file, const char **why) {
  *file = (struct ups_elf){NULL, 0};
  if (ups_elf_open(fd, file)) return true;
  *why = errno == ENOMEM ? "there is no memory for the patch" : "the patch is not an ELF file";
  return false;
}

const char *ups_load_twin(int fd) {
  struct ups_image *current = atomic_load(&ups_current);
  struct ups_elf file;
  const char *why;
  if (ups_image_clones(current) != NULL) return NULL;
  if (!open_file(fd, &file, &why)) return why;
  why = take_old_table(&file, current); /* what it shares with the executable is bound by that */
  struct ups_image *twin = why == NULL ? load_image(fd, &file, current, &why) : NULL;
  if (twin == NULL) {
    ups_elf_close(&file);
    return why;
  }
  if (twin->info->apart || !is_twin(twin->patch)) return "the file does not hold the twin of the version that runs";
  atomic_store_explicit(&current->twin, twin, memory_order_release); /* pairs with the acquire in ups_image_resume */
  return NULL;
}

struct ups_image *ups_load(int fd, const char **why) {
  struct ups_image *current = atomic_load(&ups_current);
  struct ups_elf file;
  if (ups_image_clones(current) == NULL) {
    *why = "the patch did not bring the resume clones of the version that runs";
    return NULL;
  }
  if (!open_file(fd, &file, why)) return NULL;
  struct ups_image *target = known(&file);
  if (target != NULL) {
    ups_elf_close(&file);
    *why = check_patch(target->patch, current);
    if (*why == NULL && is_twin(target->patch)) *why = "this is no patch, but the twin of the version that runs";
    return *why == NULL ? target : NULL;
  }
  *why = take_old_table(&file, current);
  if (*why == NULL) target = load_image(fd, &file, current, why);
  if (target == NULL) ups_elf_close(&file);
  return target;
}
