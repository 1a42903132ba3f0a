#include <alloca.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct item {
  struct item *next;
  int value;
};

static struct item *list; /* lives on the stack of those who wait */
static char *text;

static int sum(void) {
  char dirt[2000];
  int total = 0;
  memset(dirt, 0xee, sizeof dirt);
  __asm__ volatile("" : : "m"(dirt));
  for (struct item *item = list; item; item = item->next)
    total += item->value;
  return total;
}

static void collect(int rounds) {
  struct item *mine = list;
  for (int i = 1; i <= rounds; i++) {
    struct item *item = alloca(sizeof *item);
    *item = (struct item){list, i};
    list = item;
    char word;
    if (read(0, &word, 1) != 1)
      break;
    printf("old %d %s\n", sum(), text);
  }
  list = mine;
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  text = alloca(8);
  strcpy(text, "text");
  collect(6);
  collect(3);
  return 0;
}
