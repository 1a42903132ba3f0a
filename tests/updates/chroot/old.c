#define _GNU_SOURCE
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static int rounds;
static struct {
  int first;
} moved = {7};

/* If it is root: into an empty directory that is not its own, as another user. And no threads or processes. */
static int lock_up(void) {
  struct rlimit none = {0, 0};
  char place[4096];
  ssize_t length = readlink("/proc/self/exe", place, sizeof place - 8);
  if (getuid() == 0) {
    if (length < 0)
      return -1;
    strcpy(place + length, ".jail");
    if (mkdir(place, 0755) != 0 || chroot(place) != 0 || chdir("/") != 0)
      return -1;
    if (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
      return -1;
  }
  return setrlimit(RLIMIT_NPROC, &none);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (lock_up() != 0)
    return 1;
  for (;;) {
    printf("old %d %d\n", ++rounds, moved.first);
    usleep(5000);
  }
}
