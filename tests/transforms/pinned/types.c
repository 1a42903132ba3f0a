/* Types that cannot be spelled where they are needed. */
static int id(int x) { for (volatile int i = 0; i < 3; i++) continue; return x; }
static struct { int value; } unnamed(int x) {
  return (__typeof__(unnamed(0))){id(x)};  // pinned: the value of a call has a type without a name
}
static int without_a_name(int x) { return unnamed(x).value; }  // pinned: the value of a call has a type without a name
static int own_type(int x) {
  return ({ struct own { int value; } s = {x}; id(x); s; }).value;  // pinned: the value of a call has a type of this function's own
}
static int variable(int n) {
  int a[3][3] = {{n}}, b[3][3] = {{n}};
  return (id(n) ? *(int (*)[n])a : *(int (*)[n])b)[0] + ({ id(n); *(int (*)[n])a; })[0];  // pinned: the value of a call has a type of variable length
}
static int own_thread(int x) {
  struct own { int value; };
  static _Thread_local struct own kept;  // pinned: own_thread: a thread-local variable depends on types of the function
  kept.value += id(x);
  return kept.value;
}
int main(void) { return without_a_name(3) + own_type(3) + variable(3) + own_thread(3) != 15; }
