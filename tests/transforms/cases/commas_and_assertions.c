/* Comma expressions where no parentheses stand around them; static assertions about locals that share a name. */
#include <stdio.h>

static int calls;
static int step(int x) {
  for (volatile int i = 0; i < 1; i++) calls++;
  return x + 1;
}
static void note(int x) { calls += step(x); }

struct relation { int *info; int enabled; };
struct pair { long low; int high; };
static struct pair pair(int x) { struct pair p = {step(x), step(-x)}; return p; }

#define HIGH_AND_LOW(p)                                                                                     \
  ((((void)({                                                                                               \
      do {                                                                                                  \
        _Static_assert(__builtin_types_compatible_p(__typeof__((p.low)), long), "low is not a long");       \
      } while (0);                                                                                          \
      1;                                                                                                    \
    }))),                                                                                                   \
   p.high),                                                                                                 \
      (int)p.low

static int count(struct relation *r) {
  int n = 0;
  if (r->info != NULL ? 1 : r->enabled ? note(1), 1 : 0) n++;
  n += r->enabled ? note(n), step(n) : (note(5), 3);
  struct pair both = r->enabled ? note(1), pair(3) : pair(4);
  n += (int)both.low + both.high;
  int last = (note(2), r->enabled ? note(3), n : n + 1);
  return last;
}

static int shown(int which) {
  if (which == 1) {
    struct pair r = {3, 4};
    struct pair *at = &r;
    return step(printf("%d %d %d\n", HIGH_AND_LOW(r), step((int)at->low)));
  } else {
    struct pair r = {5, 6};
    struct pair *at = &r;
    _Static_assert(sizeof(r.low) == sizeof(long), "");
    return step(printf("%d %d %d\n", HIGH_AND_LOW(r), step(at->high)));
  }
}

int main(void) {
  int value = 0;
  struct relation plain = {&value, 0}, enabled = {NULL, 1}, neither = {NULL, 0};
  printf("%d %d %d\n", count(&plain), count(&enabled), count(&neither));
  printf("%d %d %d\n", shown(1), shown(2), calls);
  return 0;
}
