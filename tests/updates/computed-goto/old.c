#include <stdio.h>
#include <unistd.h>

static void *next; /* a label address in global storage */

static void step(int round) {
  printf("old round %d\n", round);
  usleep(5000);
}

int main(void) {
  static const void *const table[] = {&&even, &&odd};
  void *home = &&again;
  int round = 0, sum = 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  next = &&tick;
again:
  goto *table[round & 1];
even:
  sum += 2;
  goto *next;
odd:
  sum += 1;
  goto *next;
tick:
  next = &&tock;
  step(round);
  if (sum != round / 2 * 3 + 2 + round % 2) printf("lost\n");
  round++;
  goto *home;
tock:
  next = &&tick;
  step(round);
  round++;
  goto *home;
}
