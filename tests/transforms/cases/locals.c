#include <complex.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
struct bits { unsigned a : 3; signed b : 5; unsigned long c : 40; };
struct big { char text[100]; int n; double d; };
static struct big *seen;
static int *leak;
static void touch(void) { if (seen) seen->n++; if (leak) ++*leak; }
static double work(int x) {
  const int konst = x * 2;
  register int reg = x + 1;
  volatile int vol = x;
  float f = x / 3.0f; double d = x / 7.0; long double ld = x / 9.0L;
  double complex z = x + 2.0 * I;
  __int128 wide = (__int128)x << 70;
  bool flag = x & 1; char ch = (char)('a' + x); short sh = (short)-x; unsigned char uc = 200; unsigned long ul = ~0ul - (unsigned)x;
  struct bits bits = {.a = 5, .b = -3, .c = 1ul << 35};
  struct big big; memset(&big, 0, sizeof big); strcpy(big.text, "text"); big.n = x; big.d = d;
  seen = &big;
  int exposed = x; leak = &exposed;
  char buffer[16]; snprintf(buffer, sizeof buffer, "b%d", x);
  const char *literal = "lit"; int array[3] = {x, x + 1, x + 2};
  int many[2][3] = {{1, 2, 3}, {4, 5, 6}};
  struct big copy = big;
  touch(); touch();
  { int x = 50; double d = 2.5; touch(); f += x; ld += d; { int x = 60; touch(); f += x; } touch(); f += x; }
  exposed += konst + reg + vol; vol++; touch();
  double r = f + d + (double)ld + creal(z) + cimag(z) + (double)(wide >> 68) + flag + ch + sh + uc + (double)(ul >> 60)
    + bits.a + bits.b + (double)(bits.c >> 30) + big.n + big.d + exposed + strlen(buffer) + strlen(literal) + array[2] + many[1][2]
    + copy.n + strlen(copy.text) + vol;
  seen = 0; leak = 0;
  return r;
}
int main(void) { for (int i = 0; i < 4; i++) printf("%.6f\n", work(i)); return 0; }
