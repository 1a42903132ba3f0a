/* errno, rounding mode, floating-point exceptions and the x87 control word are the same on both sides of a point. */
#define _GNU_SOURCE
#include <errno.h>
#include <fenv.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xmmintrin.h>
#pragma STDC FENV_ACCESS ON
static int n;
__attribute__((noinline)) static int id(int x) { int e = errno; for (int i = 0; i < 2; i++) { n++; } errno = e; return x; }
static int errors(void) { int s = 0; for (int i = 1; i < 20; i++) { errno = i; id(0); s += errno == i; errno = 0; char *end; strtol("99999999999999999999999", &end, 10); id(1); s += errno == ERANGE; if (id(2)) s += errno == ERANGE; } return s; }
__attribute__((noipa)) static double divide(volatile double a, volatile double b) { return a / b; }
static int rounding(void) { int s = 0; static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}; for (int i = 0; i < 4; i++) { fesetround(modes[i]); double before = divide(1, 3); id(i); double after = divide(1, 3); s += before == after && fegetround() == modes[i]; long near = lrint(id(1) + 0.5); s = s * 10 + (int)near; } fesetround(FE_TONEAREST); return s; }
static int exceptions(void) { int s = 0; feclearexcept(FE_ALL_EXCEPT); id(0); s += fetestexcept(FE_ALL_EXCEPT) == 0; divide(1, 0); id(1); s += fetestexcept(FE_DIVBYZERO) != 0; feclearexcept(FE_ALL_EXCEPT); divide(0, 0); id(2); s += fetestexcept(FE_INVALID) != 0 && !fetestexcept(FE_DIVBYZERO); feclearexcept(FE_ALL_EXCEPT); id(3); s += fetestexcept(FE_ALL_EXCEPT) == 0; return s; }
static int control(void) { unsigned short cw, back; __asm__ volatile("fnstcw %0" : "=m"(cw)); unsigned short narrow = (unsigned short)(cw & ~0x300); __asm__ volatile("fldcw %0" : : "m"(narrow)); volatile long double third = 1.0L; third /= 3; id(1); volatile long double again = 1.0L; again /= 3; __asm__ volatile("fnstcw %0" : "=m"(back)); __asm__ volatile("fldcw %0" : : "m"(cw)); unsigned csr = _mm_getcsr(); _mm_setcsr(csr | 0x8040); id(2); int daz = (_mm_getcsr() & 0x8040) == 0x8040; volatile float tiny = 1e-39f; volatile float sum = tiny + tiny; int flushed = sum == 0; _mm_setcsr(csr); return (third == again) + (back == narrow) * 2 + daz * 4 + flushed * 8; }
static long double x87(int k) { long double a = 1.5L * id(k), b = sqrtl(a), c = a / 3; for (int i = 0; i < 5; i++) { a += id(i) / 7.0L; b *= 1 + c / id(3); c = fmodl(a, b) + id(1); } return a + b + c; }
static int others(void) { fenv_t env; fegetenv(&env); feraiseexcept(FE_OVERFLOW); id(1); fesetenv(&env); setlocale(LC_ALL, "C"); id(1); return fetestexcept(FE_OVERFLOW) != 0; }
int main(void) { printf("%d %d %d %d %.15Lf %d\n", errors(), rounding(), exceptions(), control(), x87(3), others()); return 0; }
