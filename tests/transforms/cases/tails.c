/* Calls in tail position: results of every plain type, through casts, conditions, locals and switches, in cycles. */
#include <stdio.h>
#include <stdlib.h>

static __attribute__((noinline)) long work(long n) {
  long sum = 0;
  for (long i = 0;; i++) { /* nothing that the analysis could see bounds it, so it has a point */
    if (i >= n) return sum;
    sum += i ^ n;
  }
}

#define MADE(type, name) \
  static __attribute__((noinline)) type name##_leaf(long n) { return (type)work(n); } \
  static __attribute__((noinline)) type name##_tail(long n) { return name##_leaf(n + 1); } \
  static __attribute__((noinline)) type name##_local(long n) { type r; r = name##_tail(n + 1); ((void)0); return r; } \
  static __attribute__((noinline)) type name##_declared(long n) { type r = name##_local(n + 1); return r; } \
  static __attribute__((noinline)) type name##_either(long n) { return n & 1 ? name##_declared(n) : (name##_tail(n)); }

MADE(_Bool, boolean)
MADE(signed char, character)
MADE(unsigned short, small)
MADE(int, integer)
MADE(unsigned long, big)
MADE(float, single)
MADE(double, real)

static void *made_leaf(long n) { return (void *)(work(n) | 1); }
static __attribute__((noinline)) void *made(long n) { return n > 3 ? made_leaf(n) : NULL; }

enum colour { red, green = 1 << 20 };
static enum colour paint(long n) { return work(n) > 10 ? green : red; }
static __attribute__((noinline)) enum colour choose(long n) {
  enum colour c = red;
  switch (n % 4) {
    case 0: c = paint(n); break;
    case 1: c = paint(n + 1); break;
    case 2: return paint(n + 2);
    default: break;
  }
  return c;
}

static long total;
static void add(long n) { total += work(n); }
static int add_and_tell(long n) { total += work(n); return 1; }
static __attribute__((noinline)) void nothing_left(long n) {
  if (n & 1) add(n);
  else if (n & 2) add_and_tell(n);
  else {
    total++;
    (void)add_and_tell(n);
  }
}
static __attribute__((noinline)) void returns_early(long n) {
  if (n > 5) { add(n); return; }
  total++;
  return add(n);
}

static long (*volatile through)(long) = work;
static __attribute__((noinline)) long indirect(long n) { return through(n); }

/* More arguments than registers: the caller must clear the stack after the call. */
static __attribute__((noinline)) long many(long a, long b, long c, long d, long e, long f, long g, long h) {
  return work(a + b + c + d + e + f + g + h);
}
static __attribute__((noinline)) long calls_many(long n) { return many(n, 1, 2, 3, 4, 5, 6, 7); }

/* A cycle of nothing but tail calls: deep, and never a deeper stack where the compiler makes jumps. */
static long even(long n, long acc);
static __attribute__((noinline)) long odd(long n, long acc) { return n == 0 ? -acc : even(n - 1, acc + 1); }
static __attribute__((noinline)) long even(long n, long acc) { return n == 0 ? acc : odd(n - 1, acc + 1); }
static __attribute__((noinline)) long self(long n, long acc) {
  if (n == 0) return acc;
  return self(n - 1, acc + n);
}

/* The callee looks at the caller's memory: no tail call. */
static __attribute__((noinline)) long looks(const long *p) { long n = *p; return work(n) + *p; }
static __attribute__((noinline)) long shows(long n) { long here = n * 3; return looks(&here); }

int main(void) {
  for (long n = 0; n < 9; n++) {
    printf("%d %d %u %d %lu %.3f %.3f\n", boolean_either(n), character_either(n), (unsigned)small_either(n),
           integer_either(n), big_either(n), (double)single_either(n), real_either(n));
    printf("%p %d\n", made(n), (int)choose(n));
    nothing_left(n);
    returns_early(n);
    printf("%ld %ld %ld %ld\n", total, indirect(n), calls_many(n), shows(n));
  }
  printf("%ld %ld %ld\n", even(60, 0), odd(61, 0), self(60, 0));
  return 0;
}
