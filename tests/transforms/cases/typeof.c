#include <stdatomic.h>
#include <stdio.h>
static _Atomic int a; static atomic_long b;
static int id(int x) { return x; }
int main(void) { atomic_store(&a, id(3)); int x = atomic_load(&a) + id(1); long y = atomic_load(&b); atomic_fetch_add(&b, x); y += atomic_load_explicit(&b, memory_order_relaxed); __typeof__(x) z = id(x), w = z; { __typeof__(z) x = 7; __typeof__(x) q = x; w += q; id(w);} printf("%d %ld %d %d\n", x, y, z, w); return id(0); }
