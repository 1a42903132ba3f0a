/* Locals whose address is taken and looked through at once: they need not keep it. */
#include <stdio.h>
#include <unistd.h>

static int wait_a_little(int n) {
  usleep(1);
  return n;
}

static long as_signed(unsigned long bits) {
  unsigned long x = bits;
  wait_a_little(1);
  x = x << 1 | 1;
  wait_a_little(2);
  return *(long *)&x;
}

static unsigned char first_byte(unsigned value) {
  unsigned kept = value;
  wait_a_little(1);
  *(int *)&kept = (int)value + 1;
  wait_a_little(2);
  return *((unsigned char *)(void *)&kept) + (unsigned char)wait_a_little(3) + *(unsigned char *)&kept;
}

static int parts(long n) {
  struct pair { int one; int many[2]; } pair = {(int)n, {2, 3}};
  wait_a_little(1);
  int sum = (*(struct pair *)&pair).one;
  (*(struct pair *)&pair).one += wait_a_little(4);
  int *inside = (*(struct pair *)&pair).many; /* this one is kept */
  wait_a_little(2);
  inside[1]++;
  return sum + pair.one * 10 + pair.many[1] * 100;
}

int main(void) {
  for (int i = 0; i < 5; i++)
    printf("%ld %d %d\n", as_signed(~0ul - (unsigned long)i), first_byte(250u + (unsigned)i), parts(i));
  return 0;
}
