#include <stdio.h>
#include <unistd.h>

enum colour { RED = 1, GREEN };

static const enum colour colours[] = {RED, GREEN};

__attribute__((noinline)) static int first(const enum colour *at) {
  return *at;
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;;) {
    printf("colour %d %d\n", first(colours), first(colours + 1));
    usleep(5000);
  }
}
