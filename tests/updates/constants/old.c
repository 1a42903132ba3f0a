#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FIRST = 1, SECOND = 2 };

struct op {
  const char *name;
  int value;
};

struct protocol {
  const char *name;
  int (*size)(int);
};

struct node {
  const struct node *next;
  int value;
};

static int tcp_size(int n) {
  return n + 20;
}

static int udp_size(int n) {
  return n + 8;
}

static const struct protocol tcp = {"tcp", tcp_size}, udp = {"udp", udp_size};
static const struct op table[] = {{"a", FIRST}, {"b", SECOND}, {"c", sizeof(struct op)}};
static const struct op *const shortcuts[] = {&table[2], table};
static const struct node nil;
static const struct node ring[2];
static const struct node ring[2] = {{&ring[1], 1}, {&ring[0], 2}};
const char greeting[] = "hello  world";
static const int never_pointed_to[] = {1, 2, 3};

static struct {
  const struct protocol *protocol;
  const struct node *list;
  const char *text;
} *heap;

static const char *label(int number) {
  static const char *const labels[] = {"zero", "one"}, other[] = "other";
  const char *const *at = labels;
  return number < 2 ? at[number] : other;
}

static const int *level(void) {
  static const int levels[] = {10, 20, 30};
  return levels + 1;
}

static int fits(const struct op *p, const struct op *end, const struct node *at, const char *other, const int *mine) {
  if (p < table || p >= table + 3 || end != &table[3] || shortcuts[1] != table || shortcuts[0] + 1 != end) return 1;
  if (heap->protocol != &tcp || heap->protocol == &udp || heap->list != &nil || heap->text != greeting) return 2;
  if (at != &ring[0] && at != &ring[1]) return 3;
  if (at->next->next != at || other != label(2) || mine != level() || mine[1] != 30) return 4;
  return 0;
}

int main(void) {
  const char *other = label(2);
  const int *mine = level();
  const struct node *at = ring;
  setvbuf(stdout, NULL, _IOLBF, 0);
  heap = malloc(sizeof *heap);
  heap->protocol = &tcp;
  heap->list = &nil;
  heap->text = greeting;
  for (;;) {
    const struct op *end = table + sizeof table / sizeof *table;
    for (const struct op *p = table; p < end; p++) {
      int found = fits(p, end, at, other, mine);
      printf("old %s %d %d %d %s\n", p->name, heap->protocol->size(p->value), at->value, never_pointed_to[p - table],
             found ? "different" : "same");
      if (found) return found;
      at = at->next;
      usleep(5000);
    }
  }
}
