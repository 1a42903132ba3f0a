/*
 * What the process sees of itself in /proc. In a chroot there may be none, or something of that name which others have
 * put there; the coordinator then lends us our memory map, which is open and can be read from anywhere.
 */
#define _GNU_SOURCE
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "proc.h"
#include "runtime.h"

static int lent_maps = -1; /* agent */

bool ups_proc_is_there(void) {
  struct statfs files;
  return statfs("/proc/self/fd", &files) == 0 && files.f_type == PROC_SUPER_MAGIC;
}

int ups_proc_open(const char *name, int flags) {
  char path[64];
  if (!ups_proc_is_there()) return -1;
  snprintf(path, sizeof path, "/proc/self/%s", name);
  return open(path, flags | O_CLOEXEC);
}

void ups_proc_take_back(void) {
  if (lent_maps >= 0) close(lent_maps);
  lent_maps = -1;
}

bool ups_proc_lend_maps(int fd) {
  struct stat file;
  ups_proc_take_back();
  if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode)) return false; /* whose reader may wait for ever */
  lent_maps = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return lent_maps >= 0;
}

int ups_proc_maps(void) {
  int fd = ups_proc_open("maps", O_RDONLY);
  if (fd >= 0 || lent_maps < 0) return fd;
  fd = fcntl(lent_maps, F_DUPFD_CLOEXEC, 0);
  if (fd >= 0) lseek(fd, 0, SEEK_SET);
  return fd;
}
