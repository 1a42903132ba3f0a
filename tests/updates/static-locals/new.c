#include <stdio.h>
#include <unistd.h>

static int next(void) {
  static int calls = 500;
  static int serial;
  calls++;
  return calls > 500 ? ++serial : -1;
}

static int other(void) {
  static int serial = 1000;
  return ++serial;
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int n = 1;; n++) {
    static int lost;
    int a = next(), b = other();
    lost += a != n || b != 1000 + n;
    printf("new %d %d lost %d\n", a, b, lost);
    usleep(5000);
  }
}
