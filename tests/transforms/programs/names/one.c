#include <stdio.h>
#include "shared.h"
int count, tentative;
__thread int per_thread = 4;
__attribute__((weak)) int replaced(int x) { return step(x) + 1000; }
__attribute__((weak)) int fallback(int x) { return step(x) + 5; }
static int local(int x) { static const int x0 = 1, *p = &x0; return step(x) + *p; }
static int constant(void) { static const int table[] = {1, 2, 3}; const int *p = table; int s = step(0); return s + (p == table) + p[2]; }
int one(int x) { return local(x) + constant() + gnu(x) + c99(x); }
extern int two(int x);
int main(void) {
  int s = 0;
  for (int i = 0; i < 5; i++) {
    per_thread += step(i);
    s += one(i) + two(i) + replaced(i) + fallback(i) + other_name(i) + from_alias(i) + table[i % 4](i);
    if (table[0] != replaced || table[1] != other_name || other_name != from_alias) s += 100000;
  }
  printf("%d %d %d %d %s\n", s, count > 0, per_thread, tentative + defaults.level, defaults.name);
  return 0;
}
