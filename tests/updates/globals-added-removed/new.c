#include <stdio.h>
#include <unistd.h>

int kept = 1;
static const char *greeting = "hello";
static int added[4] = {1, 2, 3, 4};
int zeroed[3];
int *inside = &added[2];

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;;) {
    kept++;
    zeroed[1]++;
    ++*inside;
    printf("new %s %s %d %d %s\n", greeting, kept > 2 ? "counts" : "lost", added[0] + added[1] + added[3],
           zeroed[0] + zeroed[2], added[2] == 3 + zeroed[1] ? "equal" : "unequal");
    usleep(5000);
  }
}
