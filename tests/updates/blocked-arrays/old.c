#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int *shared; /* an array of the waiting function */
static int length;

static int sum(void) {
  char dirt[2000];
  int total = 0;
  memset(dirt, 0xee, sizeof dirt);
  __asm__ volatile("" : : "m"(dirt));
  for (int i = 0; i < length; i++)
    total += shared[i];
  return total;
}

static void collect(int n) {
  int squares[n];
  length = n;
  shared = squares;
  memset(squares, 0, sizeof squares);
  for (int i = 0; i < n; i++) {
    char word, line[n - i][8];
    squares[i] = (i + 1) * (i + 1);
    strcpy(line[n - i - 1], "text");
    if (read(0, &word, 1) != 1)
      break;
    printf("old %d %d %d %s %s\n", i + 1, sum(), (int)(sizeof line / sizeof line[0]), line[n - i - 1],
           shared == squares ? "kept" : "moved");
  }
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  collect(6);
  collect(3);
  return 0;
}
