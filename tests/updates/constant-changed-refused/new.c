#include <stdio.h>
#include <unistd.h>

static const int steps[] = {1, 2, 3, 4};

int main(void) {
  const int *at = steps;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;;) {
    printf("new %d %s\n", *at, at >= steps && at < steps + 4 ? "inside" : "outside");
    if (++at == steps + 4) at = steps;
    usleep(5000);
  }
}
