#include <stdio.h>
#include <unistd.h>

static long descend(int depth, long salt) {
  char byte;
  if (depth == 0) {
    printf("at the bottom\n");
    return read(0, &byte, 1) == 1 ? byte : -1;
  }
  long below = descend(depth - 1, salt * 31 + depth);
  return below + salt % 7 + 1000000;
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;;)
    printf("new %ld\n", descend(1000, 1));
}
