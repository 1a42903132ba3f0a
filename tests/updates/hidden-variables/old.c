#include <stdio.h>
#include <unistd.h>

int by_option = 100;
__attribute__((visibility("hidden"))) int by_attribute = 200;
#pragma GCC visibility push(hidden)
int by_pragma = 300;
#pragma GCC visibility pop

int main(void) {
  int round = 0, lost = 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;;) {
    round++;
    by_option++;
    by_attribute++;
    by_pragma++;
    lost += by_option - 100 != round || by_attribute - 200 != round || by_pragma - 300 != round;
    printf("old %d %d %d lost %d\n", by_option, by_attribute, by_pragma, lost);
    usleep(5000);
  }
}
