#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int id(int x) { return x; }
static jmp_buf global;
/* A longjmp over several frames, into static storage. */
static void thrower(int n, int value) { int here[2] = {n, value}; if (id(n) == 0) longjmp(global, id(value)); thrower(here[0] - 1, here[1]); }
static int simple(int n) {
  volatile int tries = 0; const int before = id(n) * 10; int local[2] = {n, id(n + 1)};
  if (setjmp(global) == 0) { tries = id(1); thrower(3, 5); printf("never\n"); } else tries += id(2);
  return before + tries * 100 + local[0] + local[1];
}
/* Every form, and a buffer that is used again and again, in a loop. */
static int forms(int n) {
  volatile int count = 0; int r = setjmp(global), first = id(r);
  if (r < 3) { count++; thrower(1, r + 1); }
  switch (setjmp(global)) { case 0: count += 10; thrower(0, 2); case 2: count += id(100); thrower(2, 7); default: count += 1000; }
  if (!setjmp(global)) thrower(0, 0); /* 0 becomes 1 */
  for (volatile int i = 0; i < n; i++) { jmp_buf mine; memcpy(&mine, &global, sizeof mine); if (_setjmp(global)) { count += id(i); continue; } thrower(i, 1); }
  int last; last = setjmp(global); if (last == 0 && id(n)) thrower(1, 9);
  return count * 10 + last + first;
}
/* Buffers in the heap, in a caller's frame, chained (as interpreters and databases do); re-thrown from a handler. */
struct handler { struct handler *outer; jmp_buf *at; volatile int status; };
static struct handler *top;
static void raise_error(int status) { if (top == NULL) exit(3); top->status = status; longjmp(*top->at, 1); }
static int protect(void (*f)(int), int n) {
  struct handler h; jmp_buf *buffer = malloc(sizeof *buffer); h.status = 0; h.outer = top; h.at = buffer; top = &h;
  if (setjmp(*buffer) == 0) f(id(n));
  top = h.outer; free(buffer); return id(h.status);
}
static void fail(int n) { int kept = n; if (id(n) > 1) raise_error(kept + id(40)); }
static void nested(int n) { int status = protect(fail, n); id(status); if (status) raise_error(status + id(1)); }
static int try_twice(sigjmp_buf *outer, int n) {
  sigjmp_buf local; struct handler h = {top, &local, 0}; volatile int stage = 0;
  if (sigsetjmp(local, 0) == 0) { top = &h; nested(n); stage = 1; } else stage = 2;
  if (stage == 2 && n > 4) { top = h.outer; siglongjmp(*outer, id(h.status)); }
  if (sigsetjmp(local, 1) == 0) { id(0); nested(n - 1); } else stage += 10;
  top = h.outer; return stage * 1000 + h.status;
}
static int callers(int n) { sigjmp_buf outer; int r = sigsetjmp(outer, 1); if (r != 0) return -r; return try_twice(&outer, id(n)); }
/* Out of a signal handler, with the mask. */
static sigjmp_buf from_handler;
static void handler(int number) { siglongjmp(from_handler, number); }
static int signals(void) {
  sigset_t now; volatile int n = 0; signal(SIGUSR1, handler);
  int got = sigsetjmp(from_handler, 1); id(got);
  sigprocmask(SIG_SETMASK, NULL, &now); if (sigismember(&now, SIGUSR1)) n += 1000;
  if (n++ < 3) { id(n); raise(SIGUSR1); }
  return n * 100 + got;
}
/* The buffer is gone while its frame goes on, and its frame while the buffer goes on. */
static jmp_buf *kept_buffer;
static int gone(int n) {
  jmp_buf *b = malloc(1 << 20); kept_buffer = b; int r = setjmp(*b); if (r) return r; free(b); memset(&b, 0, sizeof b);
  { jmp_buf scope; if (setjmp(scope)) return 5; id(n); } { char other[sizeof(jmp_buf)]; memset(other, 1, sizeof other); n += id(other[3]); } return id(n);
}
static double deep(int n, double x) { jmp_buf here; double y = x * 2; if (n == 0) longjmp(global, 4); if (setjmp(here)) return y; y = deep(n - 1, y) + id(n); return y; }
static double depths(void) { volatile double sum = 0; int r = setjmp(global); if (r == 0) sum = deep(6, 1.5); sum += r; return sum + id(1); }
int main(void) {
  printf("%d\n", simple(id(3))); printf("%d\n", forms(3));
  for (int i = 0; i < 7; i++) printf("%d %d\n", callers(i), protect(nested, i));
  printf("%d %d %.1f\n", signals(), gone(3), depths());
  return 0;
}
