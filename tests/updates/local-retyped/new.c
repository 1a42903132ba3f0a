#include <stdio.h>
#include <unistd.h>

struct progress {
  long started;
  long done;
  long failed;
};

int main(void) {
  struct progress progress = {.failed = 3};
  long total = 0;
  double half = 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;;) {
    progress.done++;
    total += 2;
    half += 0.5;
    printf("new failed %ld %ld %s\n", progress.failed, progress.started,
           total == 2 * progress.done && half == 0.5 * (double)progress.done ? "equal" : "unequal");
    usleep(5000);
  }
}
