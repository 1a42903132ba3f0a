#include <stdio.h>
static int id(int x) { return x; }
/* A pointer into a constant must agree with the constant's own address in both clones. */
static int sum(void) { static const int t[] = {1, 2, 3}; const int *p = t; int s = 0; while (p < t + 3) { s += id(*p); p++; } return s; }
static int pairs(void) {
  static const struct { const char *name; int value; } table[] = {{"one", 1}, {"two", 2}, {"three", 3}}, *last = &table[2];
  int s = 0, n = 0; for (__typeof__(&table[0]) p = table; p <= last && p < table + sizeof table / sizeof *table; p++) { s += id(p->value); n += id(p->name[0]); }
  return s * 1000 + n;
}
static int counter(void) {
  struct state { int calls; struct state *self; }; static struct state state; enum { STEP = 3 }; static const int step = STEP, *const at = &step;
  struct state *before = &state; state.self = &state; before->calls += id(*at); { static struct state state = {5}; state.calls += id(1); before->calls += state.calls; }
  return before == &state && state.self == before ? state.calls : -1;
}
static const char *text(int i) { static const char *const names[] = {"a", "b"}, kind[] = "xy"; return id(kind[i]) == 'x' ? names[0] : names[id(i)]; }
int main(void) { for (int i = 0; i < 4; i++) printf("%d %d %d %s\n", sum(), pairs(), counter(), text(i & 1)); return 0; }
