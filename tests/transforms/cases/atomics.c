/* Calls that unroll among the operands of atomic operations, generic and of the compiler. */
#include <stdatomic.h>
#include <stdio.h>

static _Atomic int a;
static atomic_long b;
static int plain = 7;
struct counted { atomic_int uses; struct counted *next; };

static int step(int x) {
  for (volatile int i = 0; i < 1; i++) x++;
  return x;
}

static struct counted *move(struct counted **at) {
  *at = (*at)->next;
  return *at;
}

int main(void) {
  atomic_store(&a, step(3));
  int x = atomic_load(&a) + step(1);
  long y = atomic_fetch_add(&b, step(x));
  y += atomic_load_explicit(&b, memory_order_relaxed);
  int old = __atomic_fetch_add(&plain, step(10), __ATOMIC_SEQ_CST);
  __atomic_store_n(&plain, step(plain), __ATOMIC_RELEASE);
  int expected = 4;
  _Bool swapped = atomic_compare_exchange_strong(&a, &expected, step(20));
  struct counted last = {1, 0}, first = {5, &last}, *at = &first;
  int uses = atomic_fetch_add(&move(&at)->uses, step(1));
  a += step(2);
  a++;
  printf("%d %ld %d %d %d %d %d %d %d\n", x, y, old, plain, swapped, atomic_load(&a), uses, last.uses, step(at == &last));
  return 0;
}
