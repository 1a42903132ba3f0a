#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct handler {
  const char *name;
  int (*run)(int);
};

static int twice(int n) {
  return n * 2;
}

static int square(int n) {
  return n * n;
}

static struct handler table[] = {{"twice", twice}, {"square", square}};
static struct handler *heap;
static int (*favourite)(int) = twice;

static int by_value(const void *a, const void *b) {
  return *(const int *)a - *(const int *)b;
}

int main(void) {
  int (*local)(int) = square;
  setvbuf(stdout, NULL, _IOLBF, 0);
  heap = malloc(sizeof table);
  memcpy(heap, table, sizeof table);
  for (;;) {
    int numbers[5] = {3, 1, 5, 2, 4};
    qsort(numbers, 5, sizeof *numbers, by_value);
    printf("%d %d %d %d %d sorted %d%d%d%d%d %s\n", table[0].run(5), table[1].run(5), heap[0].run(5), favourite(5),
           local(5), numbers[0], numbers[1], numbers[2], numbers[3], numbers[4],
           favourite == twice && heap[1].run == square && local == square ? "same" : "different");
    usleep(5000);
  }
}
