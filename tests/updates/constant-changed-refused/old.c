#include <stdio.h>
#include <unistd.h>

static const int steps[] = {1, 2, 3};

int main(void) {
  const int *at = steps;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;;) {
    printf("old %d %s\n", *at, at >= steps && at < steps + 3 ? "inside" : "outside");
    if (++at == steps + 3) at = steps;
    usleep(5000);
  }
}
