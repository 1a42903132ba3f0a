#include <stdio.h>
#include <unistd.h>

int main(void) {
  int round = 0;
  int gone = 4;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;;) {
    round++;
    printf("old %s %d\n", round > 0 ? "counts" : "lost", gone);
    usleep(5000);
  }
}
