#include <stdio.h>
#include <unistd.h>

struct progress {
  int done;
  short failed;
};

int main(void) {
  struct progress progress = {.failed = 3};
  int total = 0;
  float half = 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;;) {
    progress.done++;
    total += 2;
    half += 0.5f;
    printf("old failed %d %s\n", progress.failed,
           total == 2 * progress.done && half == 0.5f * (float)progress.done ? "equal" : "unequal");
    usleep(5000);
  }
}
