/* Static locals: both clones have one object, also of constants and of types without a name. */
#include <stdio.h>
#include <string.h>
static int n;
static int id(int x) { n++; return x; }
static int constants(void) {
  int s = 0;
  static const int table[] = {1, 2, 3, 0};
  static const struct { const char *name; int v; } named[] = {{"one", 1}, {"two", 2}, {"three", 3}, {NULL, 0}};
  for (const int *p = table; p < table + 3; p++) s += id(*p);
  for (unsigned i = 0; named[i].name; i++) { const char *const *at = &named[i].name; s += id(named[i].v); s += at == &named[i].name ? 100 : 1; }
  return s;
}
static int mixed(void) {
  static const int x = 1, *p = &x, y = 2, *const q = &y, a[3] = {1, 2, 3};
  const int *old = p;
  int s = id(*p) + (old == &x);
  p = p == &x ? q : p == &y ? a : &x;
  s += id(*p) + (q == &y) + (int)(sizeof a / sizeof *a);
  return s;
}
static int same_names(void) { static const int x = 7, *p = &x; int s = id(*p); p = p == &x ? &n : &x; return s; }
static int unnamed(void) {
  static struct { int *p; int (*f)(int); const char *s; int v[2]; } all = {&n, id, "text", {1}}, *to = &all;
  static enum { LOW, HIGH = 3 } level = LOW; static union { int i; char c[4]; } u = {.i = 5}, many[2] = {{1}, {2}};
  all.v[1] += all.f(2); level = level == LOW ? HIGH : LOW; u.i += id(to->v[1]); many[1].i += id(level);
  { static int inner = 2, *pi = &inner; *pi += id(1); { static int inner = 50; inner += id(2); u.i += inner; } u.i += inner; }
  return u.i + many[1].i + (int)strlen(to->s) + (to->p == &n);
}
static int chain(void) { static int first = 5; static int *to = &first; static int **more = &to; static int (*self)(void) = chain; static int depth; **more += id(2); if (depth < 3) { depth++; int r = self(); depth--; return r + **more; } return first; }
static __thread int *in_thread; 
static int threads(void) { static __thread int t = 4; static _Thread_local struct { int a; } u = {5}; t += id(1); u.a += id(2); in_thread = &t; return t + u.a; }
static int not_instrumented(int k) { static const int c = 3, *p = &c; static struct { int a; } s = {2}; static int *q = &s.a; ++*q; return *p + s.a + k; }
static int own_types(int k) { struct pair { int a, b; }; static struct pair p = {1, 2}; static const struct pair table[] = {{3, 4}, {5, 6}}; p.a += id(k); const struct pair *t = &table[id(1)]; return p.a + t->b + (t == table + 1); }
static const char *name(int k) { static char text[16]; static const char format[] = "%s-%d"; const char *f = format; id(k); snprintf(text, sizeof text, f == format ? f : "moved", __func__, k); return text; }
inline static int in_inline(int x) { static int calls = 10; static const char letters[] = "abc"; const char *l = letters + 1; calls += id(x); return calls + *l + (l == letters + 1); }
int main(void) {
  for (int i = 0; i < 3; i++) printf("%d %d %d %d %d %d %d %d %s %d\n", constants(), mixed(), same_names(), unnamed(), chain(), threads(), not_instrumented(i), own_types(i), name(i), in_inline(i));
  printf("%d %d\n", n, *in_thread);
  return 0;
}
