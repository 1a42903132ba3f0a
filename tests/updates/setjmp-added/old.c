#include <setjmp.h>
#include <stdio.h>
#include <unistd.h>

static jmp_buf first, second;

static void work(int round) {
  usleep(5000);
  if (round % 2) longjmp(first, 1);
}

int main(void) {
  volatile int round = 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  setjmp(first);
  for (;;) {
    printf("old round %d\n", ++round);
    work(round);
  }
}
