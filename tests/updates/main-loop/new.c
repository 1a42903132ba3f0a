#include <stdio.h>
#include <unistd.h>

int main(void) {
  unsigned rounds = 0;
  double sum = 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;;) {
    rounds++;
    sum += 0.5;
    if (sum == rounds * 0.5)
      printf("new round %u sum %.1f\n", rounds, sum);
    else
      printf("lost something\n");
    usleep(5000);
  }
}
