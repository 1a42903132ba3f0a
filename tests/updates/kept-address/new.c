#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct node {
  struct node *next;
  int value;
};

static struct node *list;
static int *counter;

static int sum(void) {
  int total = 0;
  for (struct node *node = list; node; node = node->next)
    total += 100 * node->value;
  return total;
}

static void loop(int depth) {
  struct node mine = {.next = list, .value = depth};
  list = &mine;
  if (depth < 10) {
    loop(depth + 1);
    return;
  }
  for (;;) {
    ++*counter;
    printf("new %d %s\n", sum(), mine.next->next->value == 8 && list == &mine ? "linked" : "broken");
    usleep(5000);
  }
}

int main(void) {
  int rounds = 0;
  counter = &rounds;
  setvbuf(stdout, NULL, _IOLBF, 0);
  loop(1);
  return rounds;
}
