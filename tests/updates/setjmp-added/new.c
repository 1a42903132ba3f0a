#include <setjmp.h>
#include <stdio.h>
#include <unistd.h>

static jmp_buf first, second;
static int ready;

static void work(int round) {
  usleep(5000);
  if (round % 2) longjmp(first, 1);
  if (ready) longjmp(second, 1);
}

int main(void) {
  volatile int round = 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  setjmp(first);
  for (;;) {
    printf("new round %d\n", ++round);
    if (setjmp(second) == 0) {
      ready = 1;
      work(round);
    } else {
      printf("new second %d\n", round);
    }
  }
}
