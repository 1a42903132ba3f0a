/* Jumps that cannot be followed. */
#include <alloca.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
static int id(int x) { return x; }
static void done(int *p) { id(*p); }
static int leaves(int n) {  // pinned: leaves: the front end does not understand it: cannot jump from this asm goto
  { int x __attribute__((cleanup(done))) = id(n); if (0) __asm__ goto("" : : : : out); }
out: return id(n);
}
static int local_label(int n) {
  void *at = 0;
  { __label__ here; at = &&here; if (n > 5) goto *at; here: id(n); }  // pinned: local_label: the address of here, a label that is local to a block, is stored
  return id(n);
}
static int forks(void) { if (vfork() == 0) _exit(id(0)); return id(1); }  // pinned: forks: vfork
static jmp_buf env;
static int block(int n) { char *b = alloca(8); b[0] = 1; if (setjmp(env)) return 0; return id(n) + b[0]; }  // pinned: block: _setjmp together with __builtin_alloca
static int list(int n, ...) { va_list ap; va_start(ap, n); if (setjmp(env)) return 0; n += id(va_arg(ap, int)); va_end(ap); return n; }  // pinned: list: _setjmp together with __builtin_va_start
int main(void) { if (block(2) != 3 || list(2, 5) != 7) return 9; return leaves(2) + local_label(3) + forks() != 2 + 3 + 1; }
