#define _GNU_SOURCE
/* Blocks of alloca that are alive at points, in loops, in calls, with alignments; pointers to them in other places. */
#include <alloca.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* What it leaves behind would be seen in memory that was not kept. */
static int id(int x) { char dirt[3000]; memset(dirt, x | 128, sizeof dirt); __asm__ volatile("" : : "m"(dirt)); return x; }
static int total(const unsigned char *p, int n) { unsigned t = 0; while (n-- > 0) t = t * 31u + (unsigned)id(*p++); return (int)(t & 0xffff); }
static void *volatile stored;

static int one(int n) {
  unsigned char *p = alloca(n);
  memset(p, n, n);
  stored = p;
  int t = total(p, n);
  return t + (stored == p) + total(stored, n);
}

/* A list whose nodes are on the stack, as long as the function says. */
struct node { struct node *next; int value; };
static int list(int n) {
  struct node *head = 0;
  for (int i = 0; i < n; i++) {
    struct node *node = alloca(sizeof *node);
    *node = (struct node){head, id(i)};
    head = node;
  }
  int t = 0;
  for (struct node *node = head; node; node = node->next) t = (t * 3 + id(node->value)) & 0xffff;
  return t;
}

/* In an argument, in a condition, twice in an expression, behind an operator. */
static int fill(unsigned char *p, int n) { for (int i = 0; i < n; i++) p[i] = (unsigned char)id(i + n); return total(p, n); }
static int inside(int n) {
  unsigned char *q;
  int t = fill(alloca(n), n) + fill(__builtin_alloca(n * 2), n * 2);
  if (n > 2 && (q = alloca(n)) != 0) t += fill(q, n);
  else q = memset(alloca(4), 1, 4);
  t += total(q, id(3));
  t += fill(n > 3 ? alloca(n) : alloca(2 * n), n);
  return t;
}

/* Aligned more than blocks are by themselves. */
static int aligned(int n) {
  unsigned char *p = __builtin_alloca_with_align(n, 8 * 128), *q = __builtin_alloca_with_align(n, 64);
  int bad = ((uintptr_t)p % 128 != 0) + ((uintptr_t)q % 8 != 0);
  return fill(p, n) + fill(q, n) * 3 + id(bad) + total(p, n);
}

/* In each frame of a recursion; the innermost reads all of them. */
static unsigned char *blocks[20];
static int depth(int n) {
  if (n == 0) { int t = 0; for (int i = 1; i < 20; i++) t += total(blocks[i], i * 3); return t; }
  blocks[n] = alloca(n * 3);
  memset(blocks[n], n, n * 3);
  int t = depth(n - 1);
  return t + total(blocks[n], n * 3);
}

/* Nothing of it is alive at the point, or nothing is allocated. */
static int none(int n) { id(1); if (n > 5) { char *p = alloca(n); memset(p, 1, n); return p[n - 1] + id(2); } return id(n); }
static int empty(void) { char *p = alloca(0); return (p != 0) + id(4); }
static long many(void) {
  long t = 0;
  for (int i = 1; i < 300; i++) { char *p = alloca(i % 37 + 1); memset(p, i, i % 37 + 1); t = (t * 7 + id(p[i % 37])) & 0xffffff; }
  return t;
}
#define dup(s) ({ const char *from = (s); size_t size = strlen(from) + 1; (char *)memcpy(alloca(size), from, size); })
static int copied(const char *s) { char *p = dup(s); char *q = strdupa("second"); p[0] = (char)id('C'); return total((unsigned char *)p, 5) + total((unsigned char *)q, 6); }

int main(void) {
  printf("%d %d %d\n", one(10), one(100), list(30));
  printf("%d %d\n", inside(2), inside(9));
  printf("%d\n", aligned(40));
  printf("%d\n", depth(19));
  printf("%d %d %d %ld %d\n", none(3), none(9), empty(), many(), copied("copied"));
  return id(0);
}
