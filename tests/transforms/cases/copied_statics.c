/* What copies of functions that are called once must share with them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int marker = 7;
static const char *const words[] = {"one", "two", "three"}, *const last = "last";
static int table[] = {3, 1, 2};
int common[4];
static int starts;

__attribute__((constructor)) static void begin(void) { starts++; }

static void pause_a_little(void) { usleep(1); }

/* Called once: inlined. */
static int once(const int *at) {
  static int calls;
  pause_a_little();
  return at == &marker ? ++calls : -1;
}

static const int *constant(int which) {
  static const int values[] = {10, 20};
  return which < 0 ? &marker : &values[which];
}

int old_style(a, b)
int a;
char *b;
{
  pause_a_little();
  return a + (int)strlen(b);
}

inline int both(int x);
inline int both(int x) { return x + 1; }
extern inline int both(int x);

int walk(int depth, const int *at) {
  const int *here = constant(depth & 1), *again;
  if (depth == 0) return once(at);
  int below = walk(depth - 1, at);
  again = constant(depth & 1);
  common[depth & 3] += table[depth % 3];
  if (here != again || at != constant(-1)) abort();
  return below + *here + both(depth) + old_style(depth, "abc") + (int)strlen(words[depth % 3]);
}

static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

int main(void) {
  int sum = 0;
  for (int i = 0; i < 20; i++) {
    sum += walk(i % 5, &marker);
    pause_a_little();
    table[i % 3]++;
  }
  qsort(table, sizeof table / sizeof *table, sizeof *table, compare);
  printf("%d %d %d %d %s\n", sum, common[2], starts, common[1], last);
  printf("%d %d %d\n", table[0], table[1], table[2]);
  return 0;
}
