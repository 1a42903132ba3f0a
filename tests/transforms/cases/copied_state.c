/* A static function with a state that cannot move out of it: there must not be a second one. */
#include <stdio.h>
#include <unistd.h>

static int counted(int by) {
  static struct own { int sum; } state;
  state.sum += by;
  return state.sum;
}

static int walk(int depth) {
  if (depth == 0) return counted(1);
  int below = walk(depth - 1);
  usleep(1);
  return below + counted(depth);
}

int main(void) {
  int sum = 0;
  for (int i = 0; i < 10; i++) sum += walk(i % 4);
  printf("%d %d\n", sum, counted(0));
  return 0;
}
