#include <stdio.h>
#include <unistd.h>

struct item {
  int value, more;
};

static void wait(int n) {
  struct item items[n];
  char word;
  for (int i = 0; i < n; i++)
    items[i].value = i;
  while (read(0, &word, 1) == 1)
    printf("new %d\n", items[n - 1].value);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  wait(4);
  return 0;
}
