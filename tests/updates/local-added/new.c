#include <stdio.h>
#include <unistd.h>

int main(void) {
  int round = 0;
  unsigned since = 100;
  double factor = 2.5;
  const char *word = "hello";
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;;) {
    round++;
    since++;
    printf("new %s %s %.1f %s\n", round > 1 ? "counts" : "lost", since > 100 ? "since" : "never", factor, word);
    usleep(5000);
  }
}
