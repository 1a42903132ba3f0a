/* Odd text: #line, continuations, pragmas in functions, unicode, raw strings, digraphs, nested macros, old syntax. */
#include <stdio.h>
#include <string.h>
#include <wchar.h>
static int n; static int id(int x) { n++; return x; }
#define STEP(x) do { \
    int step_ = id(x); \
    if (step_) \
      n += step_; \
  } while (0)
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define EACH(X) X(1) X(2) X(3) X(4)
#define DECLARE(k) int CAT(v, k) = id(k);
#define ADD(k) s += CAT(v, k) + id(k);
#define SWAP(a, b) ({ __typeof__(a) swap_ = (a); (a) = (b); (b) = swap_; id(0); })
#define STR(x) #x
static int macros(void) { int s = 0; EACH(DECLARE) EACH(ADD) STEP(1); if (s) STEP(2); else STEP(3); SWAP(v1, v2); return s + v1 * 10 + v2 + (int)strlen(STR(id(1) + "x")); }
#line 500 "elsewhere.y"
static int moved(int x) { return id(x) + __LINE__; }
#line 7 "another \"quoted\".l"
static int again(int x) { int s = id(x);
#line 1000
  s += id(__LINE__); return s + (int)strlen(__FILE__); }
#line 26 "text.c"
static int naïve(int größe) { int ñ = id(größe), \u03b1 = id(2); return ñ + α; }
static int strings(void) {
  const char *s = "semi;colon } brace { /* no comment */ // none", *joined = "a" /* c */ "b"
    "c", *octal = "\0331\x41" "1", *u8 = u8"ü€", *trigraph = "what??!"; const wchar_t *w = L"wïde"; const unsigned short *u = u"u"; char c = '"', d = '\'', e = ';', m = 'ab' >> 8;
  for (const char *p = ";}{"; *p && id(1); p++) { if (*p == '}') continue; n += id(*p == ';'); }
  return id((int)strlen(s)) + (int)strlen(joined) + (int)strlen(octal) + (int)strlen(u8) + (int)wcslen(w) + u[0] + id(c) + d + e + m + (int)strlen(trigraph);
}
static int digraphs(void) <% int a<:3:> = <% id(1), id(2), id(3) %>; return a<:id(1):>; %>
static int pragmas(int k) {
  struct tight { char c; int i; } t = {'a', id(k)};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
  int s = 0; _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) s += id(i);
#pragma GCC ivdep
  for (int i = 0; i < 4; i++) { s += id(i); }
#pragma GCC diagnostic pop
  return s + (int)sizeof t + t.i;
}
struct old { int a, b; int c[4]; };
static int old_syntax(int x) { struct old o = {a: id(x), b: id(2)}, p = {.c[1] = id(4), .c[3] = id(5), .a = id(1)}; int v[4] = {[0] 5, [2] = id(6)}; return o.a + o.b + p.c[1] + p.c[3] + v[2] + v[0]; }
static int extension(int x) { return __extension__ ({ int y = __extension__ id(x); y; }) + __extension__ (int){id(2)} + __builtin_offsetof(struct old, c[2]) + (__alignof__(double)) + sizeof(struct { int k; }); }
static int casts(int x) { return (int)(char)(short)id(x) + (int)*(&(struct old){id(1), id(2)}.c[0]) + ((int (*)(int))id)(3) + (*(int (*)(int))id)(4) + (0, id)(5) + (x ? id : moved)(6) + ((char *)"abc" + id(1))[0] + 2[(int[]){1, 2, id(3)}] + -id(1) + ~id(2) + !id(3) + (id)(7) + (**id)(8); }
static int dangling(int a, int b) { if (a) if (b) return id(1); else return id(2); if (id(a)) ; else if (id(b)) ; else return id(3); for (;;) if (id(1)) break; else continue; while (id(0)); do ; while (id(0)); do if (id(a)) a = 0; else b = 0; while (id(a) || id(b)); return id(4); }
static int elses(int k) { if (id(k) == 0) return 0; else if (id(k) == 1) return id(10); else if (k == 2 && id(k)) { return id(20); } else if (({ id(k) == 3; })) return 30; else { if (k) return id(40); } return -1; }
static int commas(int x) { int a = (id(1), id(2), x), b; for (a = id(0), b = id(5); a < b && id(1); a++, b = (id(b), b - id(1))) if (id(a), b & 1) x += id(b); b = (a++, id(a)) + (id(b), x--); x = id(x), a = x, b += a; return (id(a), b) + (a ? id(1), id(2) : (id(3), id(4))); }
static int shorts(int a, int b, int c) { return (id(a) && id(b) || id(c)) + (id(a) || id(b) && id(c)) * 2 + (id(a) ? id(b) ? 4 : 8 : id(c) ? 16 : 32) + ((id(a) ?: id(b)) ?: id(c)) + (!(id(a) && !id(b)) ? 64 : 0) + (id(a) & id(b) | id(c)) + (a && (b = id(7)) && b == 7) * 128 + (id(a) < id(b) == id(c) > 0) * 256; }
static int assigns(void) { int a = 1, b = 2, *p = &a, v[3] = {1, 2, 3}, i = 0; a = b = id(5); a += b -= id(1); *p <<= id(1); v[i] = id(i); i++; v[id(1)] += v[0]; *(i ? &a : &b, id(1) ? &a : &b) = id(9); v[0] ^= v[1] ^= id(v[2]); long l = a; l *= id(1 << 20); l <<= id(3); unsigned char c = 250; c += id(10); float f = 1; f /= id(3); p = v; *p++ += id(4); *++p -= id(5); p -= id(1); return a + b + v[0] * 10 + v[1] * 100 + v[2] * 1000 + i + (int)(l >> 20) + c + (int)(f * 100) + *p; }
int main(void) {
  printf("%d %d %d %d %d %d %d\n", macros(), moved(1), again(2), naïve(3), strings(), digraphs(), pragmas(4));
  printf("%d %d %d %d %d %d %d %d\n", old_syntax(1), extension(2), casts(3), dangling(0, 0), dangling(1, 0), dangling(1, 1), dangling(0, 3), commas(4));
  for (int i = 0; i < 8; i++) printf("%d %d; ", shorts(i & 1, i & 2, i & 4), elses(i)); printf("%d %d\n", assigns(), n); return 0;
}
