#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const int steps[] = {1, 2, 3};
static const int *const *heap;

static void walk(void) {
  for (const int *at = steps; at < steps + sizeof steps / sizeof *steps; at++) {
    printf("old %d %s heap %d\n", *at, at - steps == *at - 1 ? "inside" : "outside", **heap);
    usleep(5000);
  }
}

int main(void) {
  const int **memory = malloc(sizeof *memory);
  *memory = steps;
  heap = memory;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;;) {
    walk();
    usleep(50000);
  }
}
