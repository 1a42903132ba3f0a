#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct progress {
  int done;
  long more;
};

static void *hidden;

int main(void) {
  struct progress progress = {0};
  struct progress *to = &progress;
  setvbuf(stdout, NULL, _IOLBF, 0);
  memcpy(&hidden, &to, sizeof hidden);
  for (;;) {
    progress.done++;
    printf("new %d\n", hidden == (void *)&progress);
    usleep(5000);
  }
}
