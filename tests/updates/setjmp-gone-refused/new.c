#include <setjmp.h>
#include <stdio.h>
#include <unistd.h>

static jmp_buf first, second;

static void work(int round) {
  usleep(5000);
  if (round % 2) longjmp(second, 1);
}

int main(void) {
  volatile int round = 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  setjmp(second);
  for (;;) {
    printf("new round %d\n", ++round);
    work(round);
  }
}
