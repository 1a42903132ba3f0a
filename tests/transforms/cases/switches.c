/* switch into loops, case ranges, and jumps into and out of blocks, with points all over. */
#include <stdio.h>
static int n;
static int id(int x) { n++; return x; }
static int duff(int count, const int *from) {
  int s = 0, turns = (count + 7) / 8;
  switch (count % 8) {
  case 0: do { s += id(*from++);
  case 7:      s += id(*from++);
  case 6:      s += id(*from++);
  case 5:      s += id(*from++);
  case 4:      s += id(*from++);
  case 3:      s += id(*from++);
  case 2:      s += id(*from++);
  case 1:      s += id(*from++);
          } while (--turns > 0);
  }
  return s;
}
static int into_while(int k) { int s = 0; switch (k) { while (s < 10) { case 1: s += id(1); case 2: s += id(2); if (s > 7) break; default: s += id(3); } s += 100; } return s; }
static int into_for(int k) { int s = 0, i = 0; switch (id(k)) { for (i = 0; i < id(3); i += id(1)) { case 1: s += id(10); continue; case 2: s += id(20); } case 3: s += 1000; } return s + i; }
static int into_if(int k) { int s = 0; switch (k) { if (id(0)) { case 1: s += id(1); } else { case 2: s += id(2); } case 3: s += id(4); } return s; }
static const char *range(int c) {
  switch (id(c)) { case '0' ... '9': return id(1) ? "digit" : ""; case 'a' ... 'f': case 'A' ... 'F': return "hex"; case -5 ... -1: return "negative"; default: return "none"; }
}
static int coroutine(int *state) {
  static int i;
  switch (*state) {
  case 0:
    for (i = 0; i < 4; i++) { *state = __LINE__; return id(i); case __LINE__: id(1); }
  }
  *state = 0;
  return -1;
}
static int longs(unsigned long long v) { switch (v) { case 1ull << 40: return id(1); case ~0ull: return id(2); case 5: return id(3); } return id(4); }
static int nested(int a, int b) {
  int s = 0;
  switch (id(a)) {
    case 1: switch (id(b)) { case 1: s = id(11); break; case 2: s = id(12); goto common; default: break; } s += id(1); break;
    { case 2: s = id(2); common: s += id(1000); }
    case 3:;
      int late; late = id(7); s += late;
  }
  return s;
}
static int into_block(int k) {
  int s = 0;
  if (k) goto inside;
  s = id(1);
  { int v; int *p; v = 5; p = &v; s += id(*p);
    if (0) { inside: v = id(k); p = &v; s += *p * 10; }
    s += id(v) + *p; }
  for (int i = 0; i < 3; i++) { if (id(i) == 1) goto middle; s += 1; { int w; middle: w = id(i) + 1; s += w; } }
  goto end;
end: ;
  return s;
}
static int out_of_blocks(int k) {
  int s = 0;
  for (int i = 0; i < 5; i++) { int a = id(i); { int b = a * 2; int *pb = &b; for (;;) { *pb += id(k); if (b > 12) goto leave; if (id(b) > 8) goto next; } } next: s += id(a); }
leave: return s * 100 + id(s);
}
static int only_label_at_end(int k) { if (id(k)) goto end; k = id(9); end:; return k; }
static void void_label(int k) { if (id(k)) goto end; n += 5; end: ; }
static int one_statement(int k) { switch (id(k)) case 3: return id(1); switch (k) default: k += id(2); switch (id(k)); return k; }
static int local_labels(int k) {
  int s = 0;
#define TWICE(x) ({ __label__ again, out; int t_ = 0; again: t_ += (x); if (t_ > 50) goto out; if (t_ < 2 * (x)) goto again; out: t_; })
  s += TWICE(id(k)) + TWICE(id(k + 1));
  { __label__ here; int z = 0; here: z += id(1); if (z < 3) goto here; s += z; }
  { __label__ here; int z = 0; here: z += id(1); if (z < 4) goto here; s += z; }
  return s;
}
int main(void) {
  int data[40]; for (int i = 0; i < 40; i++) data[i] = i * i;
  for (int i = 1; i < 20; i += 3) printf("%d ", duff(i, data));
  for (int k = 0; k < 4; k++) printf("| %d %d %d ", into_while(k), into_for(k), into_if(k));
  printf("\n%s %s %s %s %s\n", range('5'), range('c'), range('F'), range(-3), range('z'));
  int state = 0, v; while ((v = coroutine(&state)) >= 0) printf("%d at %d, ", v, state != 0);
  printf("%d %d %d %d\n", longs(1ull << 40), longs(-1), longs(5), longs(6));
  for (int a = 1; a < 5; a++) printf("%d %d %d; ", nested(a, 1), nested(a, 2), nested(a, 3));
  printf("%d %d %d %d\n", into_block(0), into_block(3), out_of_blocks(1), out_of_blocks(6));
  void_label(0); void_label(1);
  printf("%d %d %d %d %d %d\n", only_label_at_end(0), only_label_at_end(4), one_statement(3), one_statement(1), local_labels(3), n);
  return 0;
}
