#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct inner {
  short low, high;
};

struct record {
  int count;
  char name[8];
  struct inner range;
  float weight;
  unsigned char removed;
};

static struct record record = {.name = "first", .range = {-5, 5}, .weight = 0.5f};
static int numbers[3] = {10, 20, 30};
static unsigned ticks;

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;;) {
    record.count++;
    ticks++;
    numbers[0]++;
    printf("old %s %d %d %.2f %s\n", record.name, record.range.low, record.range.high, record.weight,
           record.count == (int)ticks && numbers[0] == 10 + record.count && numbers[2] == 30 ? "equal" : "unequal");
    usleep(5000);
  }
}
