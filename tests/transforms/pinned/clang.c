// compiler: clang
#include <alloca.h>
static int id(int x) { for (volatile int i = 0; i < 3; i++) continue; return x; }
static int array(int n) {
  int a[n + 1]; a[n] = n;  // pinned: a variable-length array, with a compiler that makes room for each call anew
  return id(a[n]);
}
static int block(int n) {
  char *b = alloca(n + 8); b[0] = n;  // pinned: alloca, with a compiler that makes room for each call anew
  return id(b[0]);
}
int main(void) { return array(3) + block(3) != 6; }
