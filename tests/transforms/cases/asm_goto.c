#include <stdio.h>
static int id(int x) { return x; }
static int compare(long a, long b) {
  int before = id((int)a), kept[2] = {id(3), 4};
  __asm__ __volatile__ goto("cmpq %1, %0\n\tjl %l[less]\n\tje %l3" : : "r"(a), "r"(b) : "cc" : less, equal);
  return id(before) + 100 + kept[0];
less: return id(before) + 200 + kept[1];
equal: { int both[2] = {1, 2}; return id(both[1]) + before + 300; }
}
static int loop(int n) {
  int sum = 0;
again:
  sum += id(n); n--;
  asm goto("testl %0, %0 # : ( \" \n\tjg %l[again]" : : "r"(n) : "cc", "memory" : again, done);
  sum += id(1000);
done: return sum;
}
static int into(int n) {
  asm volatile goto("cmpl $2, %0; je %l1" : : "m"(n) : "cc" : in);
  { int x[2] = {id(7), 8}; sink: return x[0] + n; in: x[1] = id(9); x[0] = id(x[1]); goto sink; }
}
static int written(int n) {
  int out; __asm__("leal 5(%1), %0" : "=r"(out) : "r"(n)); out += id(1);
  asm goto("incl %0" : "+m"(out) : : "cc" : never); return id(out); never: return -1;
}
int main(void) {
  for (int i = 0; i < 4; i++) printf("%d %d %d %d\n", compare(i, 2), loop(i + 1), into(i), written(i));
  return 0;
}
