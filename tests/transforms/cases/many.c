#include <stdio.h>
static int id(int x) { return x; }
int main(void) {
  int a0 = id(0), a1 = id(1), a2 = id(2), a3 = id(3), a4 = id(4), a5 = id(5), a6 = id(6), a7 = id(7), a8 = id(8), a9 = id(9);
  int b0 = id(0), b1 = id(1), b2 = id(2), b3 = id(3), b4 = id(4), b5 = id(5), b6 = id(6), b7 = id(7), b8 = id(8), b9 = id(9);
  double c0 = id(0), c1 = id(1), c2 = id(2), c3 = id(3), c4 = id(4), c5 = id(5), c6 = id(6), c7 = id(7), c8 = id(8), c9 = id(9);
  int d[5] = {1, 2, 3, 4, 5}; long e = 1l << 40;
  for (int i = 0; i < 3; i++) {
    a0 += id(i); b9 += a0; c9 += b9; d[i] += id(a1);
    e += a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + b0 + b1 + b2 + b3 + b4 + b5 + b6 + b7 + b8 + b9;
    c0 += c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 + c9 + id(1);
    printf("%d %f %ld %d\n", a0, c0, e, d[i]);
  }
  return 0;
}
