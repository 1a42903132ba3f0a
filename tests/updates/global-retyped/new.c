#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct inner {
  int low, middle, high;
};

struct record {
  char name[16];
  double weight;
  long long count;
  struct inner range;
  int added;
};

static struct record record = {.name = "other", .range = {-6, 0, 6}, .weight = 0.75, .added = 3};
static long numbers[5] = {100, 200, 300, 400, 500};
static unsigned long ticks;

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;;) {
    record.count++;
    ticks++;
    numbers[0]++;
    printf("new %s %d %d %d %.2f %d %s\n", record.name, record.range.low, record.range.middle, record.range.high,
           record.weight, record.added,
           record.count == (int)ticks && numbers[0] == 10 + record.count && numbers[2] == 30 ? "equal" : "unequal");
    usleep(5000);
  }
}
