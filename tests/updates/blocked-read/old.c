#include <stdio.h>
#include <unistd.h>

int main(void) {
  char text[100];
  ssize_t n;
  int lines = 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("ready\n");
  while ((n = read(0, text, sizeof text - 1)) > 0) {
    text[n - 1] = '\0';
    printf("old %d: %s\n", ++lines, text);
  }
  return 0;
}
