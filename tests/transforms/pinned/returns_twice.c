/* What returns twice in a way that nobody but the compiler, or the kernel, knows. */
#include <ucontext.h>
static int id(int x) { for (volatile int i = 0; i < 3; i++) continue; return x; }
static void *env[5];
static int builtin(int n) { if (__builtin_setjmp(env)) return 0; return id(n); }  // pinned: builtin: __builtin_setjmp
static ucontext_t context;
static int contexts(int n) { volatile int turns = 0; getcontext(&context); if (turns++ == 0) setcontext(&context); return id(n); }  // pinned: contexts: getcontext
static __attribute__((naked)) int bare(int n) { __asm__("lea 1(%rdi), %eax; ret"); }  // pinned: bare: naked function
int main(void) { return builtin(3) + contexts(3) + bare(3) != 10; }
