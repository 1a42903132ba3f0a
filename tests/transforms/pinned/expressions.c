/* Calls that cannot be taken out of their expressions. */
static int n;
static int id(int x) { n++; return x; }
static int generic(int x) { return _Generic(x, int: id(x), default: 0); }  // pinned: a call that can be interrupted stands inside _Generic
static int builtin(int x) { return __builtin_choose_expr(1, id(x), 0); }  // pinned: a call that can be interrupted stands inside a builtin
static int plain(int x) { int s = 0; for (int i = 0; i < 2; i++) s += id(x); return s / 2; }
static int outer(int x) {  // pinned: outer: nested function
  int inner(int y) { return id(y) + x; }
  return inner(1);
}
static inline __attribute__((always_inline)) int always(int x) { return _Generic(x, int: plain(x + 1) * 3, default: 0) + 1; }  // pinned: a call that can be interrupted stands inside _Generic
static inline int within(int x) { return _Generic(x, int: plain(x + 1) * 3, default: 0) + 1; }  // pinned: a call that can be interrupted stands inside _Generic
static int loop(int k) { int s = 0; while (k-- > 0) s += always(k) + within(id(k)); return s; }
typedef struct { int n; } named;
static named *next(named *p) { p->n = id(p->n) + 1; return p; }
static int hides(named *named) { return next(next(named))->n; }  // pinned: hides: the parameter named hides a type of this name
int main(void) { named one = {3}; if (hides(&one) != 5) return 1; return loop(1) != 8 || generic(1) + builtin(2) + outer(4) != 8; }
