/* Attributes on locals, before and behind the name, with and without an initialiser. */
#include <stdio.h>

static int step(int x) {
  for (volatile int i = 0; i < 1; i++) x++;
  return x;
}

static int locals(int start) {
  struct { int here, there; } mine = {start, 1};
  int *known = &mine.here;
  int result __attribute__((unused));
  int one __attribute__((unused)) = 3, two __attribute__((aligned(64)));
  __attribute__((unused)) int three, four __attribute__((unused, aligned(sizeof(long))));
  static int calls __attribute__((unused));
  calls++;
  result = step(*known);
  two = step(result);
  three = step(two);
  four = step(three);
  mine.there += step(one);
  return result + one * 10 + two * 100 + three * 1000 + four * 10000 + mine.there * 100000 + calls +
         (int)((unsigned long)&two % 64);
}

int main(void) {
  printf("%d\n", locals(1));
  printf("%d\n", locals(2));
  return 0;
}
