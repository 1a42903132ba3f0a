#include <stdio.h>
static int n;
static int step(int x) { n++; return x; }
int main(void) {
  int sum = 0, i = 0, j;
  while (step(i) < 5) { i++; if (i == 2) continue; sum += i; if (i == 4) break; }
  do { i--; if (i == 2) continue; sum += 10; } while (step(i) > 0);
  for (i = step(0); step(i) < 6; i = step(i) + 1) { if (i & 1) continue; if (i == 5) break; sum += 100; }
  for (int k = step(3), m = 2; k-- > 0 && step(m); m++) for (j = 0; j < 3; j++) { if (j == 1) continue; sum += k * m + step(j); }
  for (;;) { if (step(++i) > 12) break; }
  while (step(1)) { int inner = step(7); int *pi = &inner; switch (inner) { case 7: inner++; continue_outer: if (*pi > 9) goto done; inner += step(1); goto continue_outer; default: sum = -1; } }
done:
  for (j = 0; j < 4; j++) switch (step(j)) { case 0: continue; case 1: sum++; break; case 2: { int y = step(2); sum += y; } /* fall */ default: sum += step(1000); }
  i = 7; /* Duff */
  switch (i % 4) { case 0: do { sum += step(1); case 3: sum += step(2); case 2: sum += step(3); case 1: sum += step(4); } while ((i -= 4) > 0); }
  int back = 0;
again: { int fresh = step(back); int *pf = &fresh; (*pf)++; sum += fresh; if (++back < 3) goto again; }
  printf("%d %d\n", sum, n);
  return 0;
}
