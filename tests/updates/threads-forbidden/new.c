#define _GNU_SOURCE
#include <grp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static int rounds;

/* Gives up what it can: the user, if it is root, and threads and processes. */
static int give_up(void) {
  struct rlimit none = {0, 0};
  if (getuid() == 0 && (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0))
    return -1;
  return setrlimit(RLIMIT_NPROC, &none);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (give_up() != 0 || fork() >= 0)
    return 1;
  for (;;) {
    printf("new %d\n", ++rounds);
    usleep(5000);
  }
}
