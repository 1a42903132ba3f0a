#include <stdio.h>
#include <unistd.h>

static void show(const char *title, ...) {
  char word;
  while (read(0, &word, 1) == 1)
    printf("new %s\n", title);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  show("number", 1, 2, 3, 4);
  return 0;
}
