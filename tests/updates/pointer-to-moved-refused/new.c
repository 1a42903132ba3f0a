#include <stdio.h>
#include <unistd.h>

struct settings {
  int level;
  int colour;
};

static struct settings settings = {3};
static struct settings *current;

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  current = &settings;
  for (;;) {
    printf("new %d\n", current->level);
    usleep(5000);
  }
}
