/* Inline assembly around points: outputs, memory operands of locals, clobbers, register variables, asm labels. */
#include <stdio.h>
static int n;
static int id(int x) { n++; return x; }
static int named(int x) __asm__("a_name_in_assembly"); static int named(int x) { return id(x) + 1; }
static int state __asm__("state_in_assembly") = 3;
static int outputs(int x) { int a = id(x), b, c; __asm__("leal 1(%1),%0" : "=r"(b) : "r"(a)); id(b); __asm__ volatile("movl %1,%0\n\taddl $2,%0" : "=&r"(c) : "m"(b) : "cc"); return id(c) + a; }
static int memory(int x) { int a = id(x), array[4] = {1, 2, 3, id(4)}; __asm__("addl $5,%0" : "+m"(a)); id(a); __asm__("incl %0" : "+m"(array[2]) : : "memory"); id(0); __asm__("addl %1,%0" : "+r"(a) : "rm"(array[id(2)])); return a + array[2]; }
static int tied(int x) { int a = id(x); __asm__("addl %2,%0" : "=r"(a) : "0"(a), "ri"(7)); id(0); int b = id(a); __asm__("xchgl %0,%1" : "+r"(a), "+r"(b)); return id(a) * 100 + b; }
static int fixed_registers(int x) { int lo, hi, in = id(x); __asm__("movl %2,%%eax\n\tmull %3" : "=&a"(lo), "=&d"(hi) : "r"(in), "r"(1 << 30) : "cc"); id(0); register int r12 __asm__("r12") = x; __asm__ volatile("addl $1,%0" : "+r"(r12)); int kept = r12; return id(lo >> 20) + hi + kept; }
static int flags(int x) { int a = id(x), less; __asm__("cmpl %2,%1" : "=@ccl"(less) : "r"(a), "r"(5)); return id(less); }
static int names(int x) { int in = id(x), out; __asm__("imull $3, %[in], %[out]" : [out] "=r"(out) : [in] "r"(in)); id(0); return out + in; }
static int cpu(void) { unsigned a = 0, b, c, d; __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d)); id(0); return b && c && d; }
static int loops(int x) { int s = 0; while (({ int k; __asm__("movl %1,%0" : "=r"(k) : "r"(id(x))); k > 0; })) { x -= id(1); __asm__ volatile("" : : : "memory"); s++; } return s; }
static double floating(double d) { double r; id(0); __asm__("mulsd %1,%0" : "=x"(r) : "xm"(d), "0"(2.5)); return r + id(1); }
static long double x87(long double v) { long double r; __asm__("fsqrt" : "=t"(r) : "0"(v)); return r + id(1); }
static int pushes(int x) { int r, y = id(x); __asm__ volatile("pushq %%rbx\n\tmovl %1,%%ebx\n\tleal 1(%%rbx),%0\n\tpopq %%rbx" : "=&a"(r) : "r"(y) : "cc"); return id(r); }
__asm__(".pushsection .rodata\nin_assembly: .long 77\n.popsection"); extern const int in_assembly;
int main(void) { printf("%d %d %d %d %d %d %d %d %d\n", named(1), state, outputs(3), memory(4), tied(5), fixed_registers(6), flags(3), names(8), cpu()); printf("%d %.2f %.3Lf %d %d %d\n", loops(4), floating(3), x87(2), pushes(5), in_assembly, n); return 0; }
