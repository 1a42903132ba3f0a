#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Waits inside a library: the comparison is called back by qsort, which is not ours. */
static int wait_here(const void *a, const void *b) {
  char byte;
  if (read(0, &byte, 1) != 1)
    exit(0);
  return *(const int *)a - *(const int *)b;
}

static void *tick(void *unused) {
  for (;;) {
    printf("new tick\n");
    usleep(5000);
  }
  return unused;
}

int main(void) {
  int numbers[2] = {2, 1};
  pthread_t ticker;
  setvbuf(stdout, NULL, _IOLBF, 0);
  pthread_create(&ticker, NULL, tick, NULL);
  for (;;) {
    qsort(numbers, 2, sizeof *numbers, wait_here);
    printf("new sorted\n");
  }
}
