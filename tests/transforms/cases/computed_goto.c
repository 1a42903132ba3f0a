#include <stdio.h>
#include <stdlib.h>
static int id(int x) { return x; }
static int calls;
/* The interpreter's way: a constant table that only jumps read. */
static int run(const unsigned char *code, int acc) {
  static const void *const table[] = {&&op_end, &&op_add, &&op_twice, [3] = &&op_loop};
  const unsigned char *pc = code; int left = 3; const int scale = id(2);
  goto *table[*pc++];
op_add: acc += id(*pc++); goto *table[*pc++];
op_twice: { int before[2] = {acc, scale}; acc = id(before[0]) * before[1]; } goto *(table[*pc++]);
op_loop: if (left-- > 0) { pc = code; calls += id(1); } goto *table[*pc++];
op_end: return acc;
}
/* Never changed, though it is not const; two dimensions; a goto that may be interrupted itself. */
static int grid(int i, int j) {
  static void *cells[2][2] = {{&&a, &&b}, {&&c, &&d}};
  int kept = id(i * 10 + j);
  goto *cells[id(i)][id(j)];
a: return kept + id(1); b: return kept + id(2); c: return kept + id(3); d: return kept + id(4);
}
/* Values: in variables, parameters, structs, the heap, global storage, differences. */
struct op { const void *at; int operand; };
static void *remembered;
static const void *second(void *const *from, int i) { return from[id(i)]; }
static int threaded(int n) {
  static void *once; static const struct { const char *name; void *at; } named[] = {{"mul", &&mul}, {"end", &&end}};
  void *local[] = {&&add, &&mul, &&end}; static int offsets[] = {0, &&mul - &&add, &&end - &&add};
  struct op *program = malloc(4 * sizeof *program), *p = program; int acc = 1;
  if (once == NULL) { once = &&mul; calls += id(100); }
  for (int i = 0; i < 4; i++) { program[i].at = i == 3 ? second(local, 2) : i == 1 ? named[0].at : local[i & 1]; program[i].operand = id(i + n); }
  if (n & 1) remembered = &&end; else remembered = 0;
  goto *p->at;
add: acc += id(p->operand); p++; goto *p->at;
mul: acc *= id(p->operand); p++; if (p->operand & 1) goto *((char *)&&add + offsets[p - program == 3 ? 2 : 0]); goto *p->at;
end: free(program);
  if (remembered != 0) { remembered = 0; goto *(id(acc) > 5 ? &&big : &&end2); }
end2: return acc; big: return acc + (once == &&mul);
}
/* Old style, without points of its own in the default placement. */
static int old(k) int k; { void *to; to = k ? &&one : &&zero; goto *to; one: return 1; zero: return 0; }
static int both(int k) {
  static const void *const table[] = {&&x, &&y}; const void *chosen = &&x; int tries = 0;
again: if (tries++ > 2) return id(k);
  if (k & 1) goto *chosen; goto *table[k & 1];
x: k += id(1); chosen = &&y; goto again; y: k += id(3); goto *table[0];
}
int main(void) {
  static const unsigned char code[] = {1, 5, 2, 3, 1, 7, 0};
  for (int i = 0; i < 4; i++)
    printf("%d %d %d %d %d\n", run(code, i), grid(i >> 1, i & 1), threaded(i), old(i & 1), both(i));
  printf("%d\n", calls); return 0;
}
