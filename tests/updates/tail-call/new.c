#include <stdio.h>
#include <unistd.h>

static __attribute__((noinline)) int next_character(int bias) {
  char c;
  if (read(0, &c, 1) != 1) return -1;
  return c + bias;
}

/* Something is left to do now, so it has a frame. */
static __attribute__((noinline)) int filtered(int bias) {
  int c = next_character(bias);
  if (c == 'x') printf("filtered\n");
  return c;
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  printf("ready\n");
  for (int n = 0;;) {
    int c = filtered(0);
    if (c < 0) return 0;
    if (c == 'x') printf("new %d %c\n", ++n, c);
  }
}
