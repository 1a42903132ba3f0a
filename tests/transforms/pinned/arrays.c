/* Memory of the frame that is not to be had, and what has to be taken apart for it. */
#include <alloca.h>
#include <setjmp.h>
static int id(int x) { for (volatile int i = 0; i < 3; i++) continue; return x; }
static jmp_buf env;
static int jumps(int n) {
  int a[n + 1]; a[n] = n;  // pinned: a variable-length array in a function with setjmp
  if (setjmp(env)) return 0;
  return id(a[n]);
}
static int before(int n) {
  int none = 0, first = id(n), a[n + 1];  // pinned: a call that can be interrupted stands before a variable-length array
  a[n] = first + none; return id(a[n]);
}
static int itself(int n) {
  int m = n, a[id(m) + 1];  // pinned: the length of an array depends on its own declaration
  a[n] = n; return id(a[n]);
}
static int named(int n) {
  typedef int row[n + 1];  // pinned: named: a type of variable length
  row a; a[n] = n; return id(a[n]);
}
static int pointer(int n) {
  int a[2][3], (*p)[n] = (int (*)[n])a;  // pinned: pointer: a type of variable length
  p[0][0] = n; return id(p[0][0]);
}
static int spelled(int n) {
  __typeof__(int[n + 1]) a; a[n] = n;  // pinned: a has its length from a typedef
  return id(a[n]);
}
static int parameter(int n, int a[][n]) { a[0][0] = n; return id(a[0][0]); }  // pinned: parameter: a parameter with a type of variable length
static int block(int n) {
  int a[n + 1]; a[n] = n;
  char *b = alloca(n + 8); b[0] = 1;  // pinned: alloca in the scope of a variable-length array
  return id(a[n]) + b[0];
}
int main(void) {
  int a[3][3];
  return jumps(3) + before(3) + itself(3) + named(3) + spelled(3) + pointer(3) + parameter(3, a) + block(3) != 25;
}
