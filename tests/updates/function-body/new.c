#include <stdio.h>
#include <unistd.h>

static int scaled(int n) {
  return n * 10 + 1;
}

static void report(int n) {
  printf("new %d\n", scaled(n));
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int n = 0;; n++) {
    report(n);
    usleep(5000);
  }
}
