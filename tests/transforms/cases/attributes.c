/* Functions and variables with attributes, aliases, weak ones, own sections, inline functions of both kinds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int n;
static int id(int x) { n++; return x; }
int original(int x) { return id(x) + 1; }
extern int alias_of(int x) __attribute__((alias("original")));
int weak_here(int x) __attribute__((weak)); int weak_here(int x) { return id(x) + 2; }
extern int weak_nowhere(int x) __attribute__((weak)); extern int weak_variable __attribute__((weak));
static int static_alias(int x) __attribute__((alias("original")));
static int reference(int) __attribute__((weakref("original")));
__attribute__((section(".text.mine"), noinline)) static int in_section(int x) { return id(x) + 3; }
int variable_in_section __attribute__((section(".data.mine"))) = 4; static int used_one __attribute__((used)) = 5;
__attribute__((visibility("hidden"))) int hidden(int x) { return id(x) + 4; } __attribute__((visibility("default"))) int shown(int x) { return id(x) + 5; }
__attribute__((always_inline)) static inline int always(int x) { int here = id(x), *p = &here; return id(*p) + 6; }
__attribute__((noinline, noclone)) static int never(int x) { return id(x) + 7; }
__attribute__((const)) static int constant(int x) { return x * 2; } __attribute__((pure)) static int pure(const char *s) { int k = 0; while (*s) k += *s++ == 'a'; return k; }
__attribute__((malloc, alloc_size(1), warn_unused_result)) static void *get(size_t size) { id(0); return calloc(1, size); }
__attribute__((nonnull(1), returns_nonnull)) static char *keep(char *p) { id(0); return p; }
__attribute__((hot)) static int hot(int x) { return id(x) + 8; } __attribute__((cold, noinline)) static int cold(int x) { return id(x) + 9; }
__attribute__((optimize("O1"))) static int optimised(int x) { for (int i = 0; i < 3; i++) x += id(i); return x; }
__attribute__((flatten)) static int flat(int x) { return hot(x) + never(x) + always(x); }
__attribute__((target("sse4.2"))) static int targeted(int x) { return id(x) + 10; }
__attribute__((deprecated("old"))) static int old(int x) { return id(x) + 11; } __attribute__((unused)) static int unused(int x) { return id(x); }
__attribute__((no_instrument_function, noplt, stack_protect)) static int more(int x) { char b[16]; memset(b, id(x), sizeof b); return b[3] + id(1); }
__attribute__((sysv_abi, force_align_arg_pointer)) static int aligned_stack(int x) { _Alignas(64) char b[64]; b[0] = (char)id(x); return b[0] + (int)((uintptr_t)b % 64); }
__attribute__((ms_abi)) static int other_abi(int a, double b, int c) { return id(a) + (int)b + id(c); }
__attribute__((naked)) static int bare(void) { __asm__("movl $12, %eax\n\tret"); }
__attribute__((format(printf, 1, 2))) static int formatted(const char *f, ...) { return id((int)strlen(f)); }
__attribute__((sentinel)) static int ended(int a, ...) { return id(a); }
typedef union { int *i; float *f; } either __attribute__((transparent_union)); static int takes_either(either e) { id(1); return *e.i != 0; }
typedef int by_mode __attribute__((mode(DI))); typedef unsigned __attribute__((mode(QI))) byte_mode; static by_mode wide(by_mode x, byte_mode y) { return x + id(y); }
typedef int may __attribute__((may_alias)); static int aliased(float *f) { may *m = (may *)f; id(0); return *m >> 20; }
extern inline __attribute__((gnu_inline)) int gnu_inline(int x) { return id(x) + 13; } int gnu_inline(int x) { return id(x) + 13; }
inline int c99(int x) { return id(x) + 14; } extern int c99(int x);
static inline int simple_inline(int x) { while (x < 5) x += id(1); return x; }
static int chosen_one(int x) { return id(x) + 15; } static int chosen_two(int x) { return id(x) + 16; }
typedef int function(int); static function *resolve(void) { return (uintptr_t)&n ? chosen_one : chosen_two; } int indirect(int) __attribute__((ifunc("resolve")));
static int bracketed(int x) { return id(x) + 17; }
static int falls(int x) { switch (x) { case 1: x += id(1); __attribute__((fallthrough)); case 2: x += id(2); } return x; }
static int label_attribute(int x) { if (id(x)) goto out; x = 9; out: __attribute__((unused)); return x; }
static int assumes(int x) { if (x > 1000) __builtin_unreachable(); if (__builtin_expect(id(x) > 2, 0)) return id(1); int *p = __builtin_assume_aligned(&x, 4); return id(*p) + __builtin_constant_p(x) * 0; }
int main(void) {
  float f = 1.5f; int i = 3; char *s = keep(get((size_t)id(8))); s[0] = (char)id('x');
  printf("%d %d %d %d %d\n", alias_of(1), weak_here(1), weak_nowhere ? weak_nowhere(1) : -1, static_alias(2), &weak_variable == NULL);
  printf("%d %d %d %d %d %d %d %d\n", reference(3), in_section(1), variable_in_section + used_one, hidden(1), shown(1), always(1), never(1), constant(id(4)) + pure("banana"));
  printf("%s %d %d %d %d %d %d %d\n", s, hot(1), cold(1), optimised(2), flat(1), targeted(1), old(1), more(3)); free(s);
  printf("%d %d %d %d %d %d %d %lld %d\n", aligned_stack(2), other_abi(1, 2.5, 3), bare(), formatted("%d", 5), ended(1, 2, NULL), takes_either(&i), takes_either(&f), (long long)wide(1ll << 40, 3), aliased(&f));
  printf("%d %d %d %d %d %d %d %d %d\n", gnu_inline(1), c99(1), simple_inline(1), indirect(1), bracketed(1), falls(1), label_attribute(0), assumes(1), assumes(5));
  printf("%d %d\n", alias_of == original, n);
  return 0;
}
