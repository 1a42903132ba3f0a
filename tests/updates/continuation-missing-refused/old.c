#include <stdio.h>
#include <unistd.h>

static void serve(void) {
  char byte;
  while (read(0, &byte, 1) == 1)
    printf("old %c\n", byte);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("ready\n");
  serve();
  return 0;
}
