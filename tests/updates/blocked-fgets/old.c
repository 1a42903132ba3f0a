#include <stdio.h>

int main(void) {
  char line[80];
  int count = 0;
  printf("ready\n");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    printf("old %d: %s", ++count, line);
    fflush(stdout);
  }
  printf("old: end\n");
  return count;
}
