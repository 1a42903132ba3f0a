/* A recursion 100,000 deep that storms at the bottom, and a deep one that storms on its way. */
#include <stdio.h>
#include <stdlib.h>
static int n;
static int leaf(int x) { for (int i = 0; i < 2; i++) n++; return x; }
static long sum(int k) { if (k == 0) return leaf(1); long rest = sum(k - 1); return rest + k; }
static long kept(int k, long *up) { long here = k; if (k == 0) return leaf(2) + *up; *up += 1; long r = kept(k - 1, &here); return r + (here == k + 1 ? 1 : 0); }
static int even(unsigned k); static int odd(unsigned k) { return k ? even(k - 1) ^ leaf(0) : 0; } static int even(unsigned k) { return k ? odd(k - 1) ^ leaf(0) : 1; }
static long ackermann(long m, long k) { return m == 0 ? k + 1 : k == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, k - 1)); }
int main(int argc, char **argv) { int depth = argc > 1 ? atoi(argv[1]) : 300; long top = 0; printf("%ld %ld %d %ld\n", sum(depth), kept(depth, &top), even(depth), ackermann(2, 4)); return 0; }
