#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void serve(int first) __attribute__((noreturn));
static _Noreturn void run(int first);

static _Noreturn void fail(const char *why) {
  fprintf(stderr, "%s\n", why);
  exit(1);
}

static void serve(int first) {
  int round = first;
  for (;;) {
    printf("new round %d\n", round++);
    if (usleep(5000) != 0 && round < 0) fail("lost");
  }
}

static void run(int first) {
  int offset = 10;
  serve(first + offset);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  run(1);
}
