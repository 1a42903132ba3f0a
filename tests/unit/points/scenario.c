/* Functions with update points of all shapes. The harness runs scenario() once for each point that it reaches. */
#include "notes.h"

#include <alloca.h>
#include <string.h>

extern int harness_opaque(int x);
extern int harness_call_back(int (*f)(int), int x);
int seed = 3;
static const double table[4] = {1.5, 2.5, 3.5, 4.5};
volatile int sink;

RESUME(0000000000000001)
RESUME(0000000000000002)
RESUME(0000000000000003)
RESUME(0000000000000004)
RESUME(0000000000000005)
RESUME(0000000000000006)
RESUME(0000000000000007)
RESUME(0000000000000008)
RESUME(0000000000000009)
RESUME(000000000000000a)
RESUME(000000000000000b)
RESUME(000000000000000c)
RESUME(000000000000000d)

/* Inlinable: a loop, integers of all sizes, floating point, constants, an array that is kept. */
static long leaf(long a, const char *text, double f) {
  struct expected e;
  char kept[24];
  long sum = 0;
  signed char byte = (signed char)(a - 100);
  unsigned short half = (unsigned short)(a * 1000);
  float single = (float)a / 4;
  int constant = 77;
  long big = 0x123456789abcdefl;
  memset(kept, 'q', sizeof kept);
  kept[3] = (char)('A' + (a & 7));
  e.slot[8] = (long)kept;
  e.slot[9] = constant;
  e.slot[10] = big;
  for (int i = 0; i < 3; i++) {
    sum += i * a + text[i & 3];
    f += table[i & 3];
    single += 0.25f;
    e.slot[1] = a;
    e.slot[2] = sum;
    e.slot[3] = i;
    e.slot[4] = (long)text;
    e.slot[5] = BITS(f);
    e.slot[6] = byte;
    e.slot[7] = half;
    e.slot[11] = BITS(single);
    POINT("0000000000000001", 1, 2, 12,
          V(0, 0, 8) V(1, 1, 8) V(2, 2, 8) V(3, 3, 4) V(4, 4, 8) F(5, 5, 8) V(6, 6, 1) V(7, 7, 2) O(8, 8, 24) V(9, 9, 4)
              V(10, 10, 8) F(11, 11, 4),
          "nor"(&e), "nor"(a), "nor"(sum), "nor"(i), "nor"(text), "xm"(f), "nor"(byte), "nor"(half), "m"(kept),
          "nor"(constant), "nor"(big), "xm"(single));
    sink += byte + half + (int)single;
  }
  return sum + (long)f + kept[3] + constant + big + (long)table[a & 3];
  DUMMY(long)
}

/* A call whose result goes to a local, and a result through a pointer. */
static int middle(int n, long *out) {
  struct expected e;
  int k = n * 3;
  long t;
  e.slot[1] = n;
  e.slot[2] = k;
  e.slot[3] = (long)out;
  t = leaf(n + 7, "abcd", 1.25);
  POINT("0000000000000002", 1, 1, 4, V(0, 0, 8) V(1, 1, 4) V(2, 2, 4) V(3, 3, 8), "nor"(&e), "nor"(n), "nor"(k),
        "nor"(out));
  *out = t + k + n;
  return k + 1;
  DUMMY(int)
}

/* Recursion with a point after the call and one before it. */
NOINLINE static long recursive(int depth, long x, double d) {
  struct expected e;
  long mine = x ^ 0x55;
  long r;
  if (depth == 0)
    return x;
  e.slot[1] = depth;
  e.slot[2] = mine;
  e.slot[3] = BITS(d);
  POINT("0000000000000003", 1, 4, 4, V(0, 0, 8) V(1, 1, 4) V(2, 2, 8) F(3, 3, 8), "nor"(&e), "nor"(depth), "nor"(mine),
        "xm"(d));
  r = recursive(depth - 1, mine + seed, d * 2);
  POINT("0000000000000003", 2, 1, 4, V(0, 0, 8) V(1, 1, 4) V(2, 2, 8) F(3, 3, 8), "nor"(&e), "nor"(depth), "nor"(mine),
        "xm"(d));
  return r + mine + (long)d;
  DUMMY(long)
}

/* More than the registers hold, in two chunks; the address of a global; a struct in memory. */
struct pair {
  long a, b;
};
NOINLINE static long many(long a, long b, long c, long d) {
  struct expected e;
  long v0 = a + b, v1 = a - b, v2 = a * c, v3 = b * d, v4 = a ^ d, v5 = c + d, v6 = c - a, v7 = d * 7, v8 = a * 9;
  long v9 = b * 11, v10 = c * 13, v11 = v0 * v1, v12 = v2 + v3, v13 = v4 * 5, v14 = v5 ^ v6, v15 = v7 + 1;
  struct pair pair = {a, d};
  int *global = &seed;
  long r;
  long values[] = {a, b, c, d, v0, v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15};
  for (int i = 0; i < 20; i++)
    e.slot[i + 1] = values[i];
  e.slot[21] = pair.a;
  e.slot[22] = (long)global;
  r = recursive(2, v3, 0.5);
  FIRST("0000000000000004", 1, 1, 12,
        V(0, 0, 8) V(1, 1, 8) V(2, 2, 8) V(3, 3, 8) V(4, 4, 8) V(5, 5, 8) V(6, 6, 8) V(7, 7, 8) V(8, 8, 8) V(9, 9, 8)
            V(10, 10, 8) V(11, 11, 8),
        "nor"(&e), "nor"(a), "nor"(b), "nor"(c), "nor"(d), "nor"(v0), "nor"(v1), "nor"(v2), "nor"(v3), "nor"(v4),
        "nor"(v5), "nor"(v6));
  SECOND("0000000000000004", 1, 1, 12,
        V(0, 0, 8) V(1, 12, 8) V(2, 13, 8) V(3, 14, 8) V(4, 15, 8) V(5, 16, 8) V(6, 17, 8) V(7, 18, 8) V(8, 19, 8)
            V(9, 20, 8) M(10, 21, 8) V(11, 22, 8),
        "nor"(&e), "nor"(v7), "nor"(v8), "nor"(v9), "nor"(v10), "nor"(v11), "nor"(v12), "nor"(v13), "nor"(v14),
        "nor"(v15), "m"(pair), "nor"(global))
  return r + a + b + c + d + v0 + v1 + v2 + v3 + v4 + v5 + v6 + v7 + v8 + v9 + v10 + v11 + v12 + v13 + v14 + v15 +
         pair.a + *global;
  DUMMY(long)
}

/* A frame pointer, because of alloca; the array's address is a pointer operand. */
NOINLINE static long with_frame_pointer(int n) {
  struct expected e;
  char *block = alloca((size_t)n + 16);
  long r;
  memset(block, n, (size_t)n + 16);
  e.slot[1] = n;
  e.slot[2] = (long)block;
  r = recursive(1, n, 1.0);
  POINT("0000000000000005", 1, 1, 3, V(0, 0, 8) V(1, 1, 4) P(2, 2, 16), "nor"(&e), "nor"(n), "nor"(block));
  return r + block[n];
  DUMMY(long)
}

/* A tail call that stays a call (the frame is nothing): the stack protector or the array may hinder it. */
NOINLINE static long tail(int n) {
  volatile char pad[40];
  pad[n & 31] = (char)n;
  sink += pad[n & 31];
  return recursive(n & 3, n, 2.0);
}

/* Structs as results, in registers and in memory. */
struct large {
  long a[5];
};
static struct large large_result(int n) {
  struct expected e;
  struct large l = {{n, n + 1, n + 2, n + 3, n + 4}};
  e.slot[1] = n;
  POINT("0000000000000006", 1, 4, 2, V(0, 0, 8) V(1, 1, 4), "nor"(&e), "nor"(n));
  l.a[1] += seed;
  return l;
  DUMMY(struct large)
}
NOINLINE static struct large large_outer(int n) {
  struct expected e;
  struct large l;
  e.slot[1] = n;
  l = large_result(n + 1);
  POINT("0000000000000007", 1, 1, 2, V(0, 0, 8) V(1, 1, 4), "nor"(&e), "nor"(n));
  return l;
  DUMMY(struct large)
}
NOINLINE static struct pair pair_result(int n) {
  struct expected e;
  struct pair p = {n, n * 2};
  e.slot[1] = n;
  p.a += recursive(1, p.b, 3.0);
  POINT("0000000000000008", 1, 1, 2, V(0, 0, 8) V(1, 1, 4), "nor"(&e), "nor"(n));
  p.b += n;
  return p;
  DUMMY(struct pair)
}
NOINLINE static double floating_result(double x, float y) {
  struct expected e;
  double r;
  e.slot[1] = BITS(x);
  e.slot[2] = BITS(y);
  r = (double)recursive(2, (long)x, x);
  POINT("0000000000000009", 1, 1, 3, V(0, 0, 8) F(1, 1, 8) F(2, 2, 4), "nor"(&e), "xm"(x), "xm"(y));
  return r * x + y;
  DUMMY(double)
}
NOINLINE static long double extended_result(long n) {
  struct expected e;
  long r;
  e.slot[1] = n;
  r = recursive(2, n, 1.0);
  POINT("000000000000000a", 1, 1, 2, V(0, 0, 8) V(1, 1, 8), "nor"(&e), "nor"(n));
  return (long double)r + n;
  DUMMY(long double)
}

/* A counter in memory that the compiler keeps in a register while the loop runs, and stores on all ways out of it. */
static int counter;
static volatile int counted;
NOINLINE static int sinks(int n, int *count) {
  struct expected e;
  e.slot[1] = n;
  for (int i = 0; i < 3; i++) {
    ++*count;
    counted = counted + 1;
    POINT("000000000000000d", 1, 2, 2, V(0, 0, 8) V(1, 1, 4), "nor"(&e), "nor"(n));
  }
  return n;
  DUMMY(int)
}
int scenario_consistent(void) { return counter == counted; }

/* A library calls back: the walk must find the stack foreign. */
NOINLINE static int called_back(int x) {
  struct expected e;
  e.slot[1] = x;
  POINT("000000000000000b", 1, 4, 2, V(0, 0, 8) V(1, 1, 4), "nor"(&e), "nor"(x));
  return x + 1;
  DUMMY(int)
}

NOINLINE long top(int n) {
  struct expected e;
  long o = -1, r;
  int m;
  struct large l;
  struct pair p;
  double d;
  long double x;
  e.slot[1] = n;
  e.slot[2] = (long)&o;
#define AFTER(point)                                                                                                  \
  POINT("000000000000000c", point, 1, 3, V(0, 0, 8) V(1, 1, 4) O(2, 2, 8), "nor"(&e), "nor"(n), "m"(o))
  m = middle(n, &o);
  AFTER(1);
  r = recursive(3, n, 1.5);
  AFTER(2);
  r += many(n, m, o, r);
  AFTER(3);
  r += with_frame_pointer(n);
  AFTER(4);
  r += tail(n);
  AFTER(5);
  l = large_outer(n);
  AFTER(6);
  p = pair_result(n);
  AFTER(7);
  d = floating_result(n, (float)n / 2);
  AFTER(8);
  x = extended_result(n);
  AFTER(9);
  m += sinks(n, &counter);
  AFTER(10);
  r += harness_call_back(called_back, n);
  r += harness_opaque(n);
  return r + m + o + l.a[0] + l.a[1] + p.a + p.b + (long)d + (long)x;
  DUMMY(long)
}

long scenario(int n) { return top(n); }
