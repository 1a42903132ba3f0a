#include <errno.h>
#include <stdio.h>
#include <time.h>

int main(void) {
  struct timespec begin, end;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;;) {
    struct timespec pause = {.tv_sec = 1, .tv_nsec = 500000000}, rest = {-1, -1};
    clock_gettime(CLOCK_MONOTONIC, &begin);
    printf("sleeps\n");
    int result = nanosleep(&pause, &rest);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double slept = (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    printf("new: %s, %s\n", result == 0 && rest.tv_sec == -1 ? "undisturbed" : "disturbed",
           slept >= 1.5 && slept < 1.9 ? "in time" : "not in time");
  }
}
