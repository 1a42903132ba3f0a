#include <stdio.h>
#include <unistd.h>

int kept = 1;
static int gone = 7;
static const char *greeting = "hello";

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;;) {
    kept++;
    gone++;
    printf("old %s %s %s\n", greeting, kept > 1 ? "counts" : "lost", gone > 7 ? "counts" : "lost");
    usleep(5000);
  }
}
