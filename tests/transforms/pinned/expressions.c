/* Calls that cannot be taken out of their expressions. */
static int n;
static int id(int x) { n++; return x; }
static int generic(int x) { return _Generic(x, int: id(x), default: 0); }  // pinned: a call that can be interrupted stands inside _Generic
static int builtin(int x) { return __builtin_choose_expr(1, id(x), 0); }  // pinned: a call that can be interrupted stands inside a builtin
static int outer(int x) {  // pinned: outer: nested function
  int inner(int y) { return id(y) + x; }
  return inner(1);
}
int main(void) { return generic(1) + builtin(2) + outer(4) != 1 + 2 + 5; }
