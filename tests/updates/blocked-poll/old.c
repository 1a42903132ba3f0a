#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(void) {
  char text[100];
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;;) {
    struct pollfd input = {.fd = 0, .events = POLLIN};
    double begin = now();
    printf("waits\n");
    int ready = poll(&input, 1, 2000);
    double waited = now() - begin;
    if (ready == 0)
      printf("old: nothing, %s\n", waited > 1.99 && waited < 2.5 ? "in time" : "not in time");
    else if (ready == 1 && read(0, text, sizeof text) > 0)
      printf("old: input, %s\n", waited < 2 ? "before the time" : "after the time");
    else
      return 0;
  }
}
