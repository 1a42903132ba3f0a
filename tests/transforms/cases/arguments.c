/* Variable arguments: lists that are alive at points, in every place where one can be. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What it leaves behind would be seen in memory that was not kept. */
static int id(int x) { char dirt[3000]; memset(dirt, x | 128, sizeof dirt); __asm__ volatile("" : : "m"(dirt)); return x; }
static long wide(long x) { return id((int)x) + (x - (int)x); }

/* A list in use while calls are interrupted; all classes of arguments, more than fit into registers. */
static double sum(const char *kinds, ...) {
  va_list ap;
  double total = 0;
  va_start(ap, kinds);
  for (const char *k = kinds; *k; k++) {
    if (*k == 'i') total += id(va_arg(ap, int));
    else if (*k == 'l') total += wide(va_arg(ap, long));
    else if (*k == 'd') total += va_arg(ap, double) * id(1);
    else if (*k == 'L') total += (double)va_arg(ap, long double) * id(1);
    else total += id((int)strlen(va_arg(ap, char *)));
  }
  va_end(ap);
  return total;
}

struct pair { long a; double b; };
struct large { int x[20]; };

static double structs(int n, ...) {
  va_list ap;
  double total = 0;
  va_start(ap, n);
  for (int i = 0; i < n; i++) {
    struct pair p = va_arg(ap, struct pair);
    struct large l = va_arg(ap, struct large);
    total += id((int)p.a) + p.b + id(l.x[19]);
  }
  va_end(ap);
  return total;
}

/* Reading begins after a point, and again in each turn of a loop. */
static int late(int n, ...) {
  int total = id(0);
  for (int turn = 0; turn < 3; turn++) {
    va_list ap;
    if (id(turn) == 1) continue;
    va_start(ap, n);
    for (int i = 0; i < n; i++) total = (total * 3 + id(va_arg(ap, int))) & 0xffffff;
    va_end(ap);
  }
  return total;
}

/* The list is a parameter, and a pointer to one; copies of it live on. */
static int take(va_list ap) { return id(va_arg(ap, int)); }
static int take_from(va_list *ap) { return id(va_arg(*ap, int)); }
static int walk(int n, va_list ap) {
  va_list copy;
  int total = 0;
  va_copy(copy, ap);
  for (int i = 0; i < n; i++) total = total * 5 + id(va_arg(ap, int)) + id(va_arg(copy, int));
  va_end(copy);
  return total;
}
static int twice(int n, ...) {
  va_list ap, other;
  int total;
  va_start(ap, n);
  va_copy(other, ap);
  total = take(other) * 100 + take_from(&other);
  va_end(other);
  total = total * 1000 + walk(n, ap);
  va_end(ap);
  return total;
}

/* Lists in objects, in memory of the heap, and in a global pointer. */
struct reader { int left; va_list list; };
static va_list *everywhere;
static int drain(struct reader *r) { int t = 0; while (r->left-- > 0) t = t * 7 + id(va_arg(r->list, int)); return t; }
static int held(int n, ...) {
  struct reader r = {n, {}}, *h = malloc(sizeof *h);
  va_list last;
  int total;
  va_start(r.list, n);
  h->left = n;
  va_copy(h->list, r.list);
  va_copy(last, h->list);
  everywhere = &last;
  total = drain(&r) + drain(h) + take_from(everywhere);
  va_end(last);
  va_end(h->list);
  va_end(r.list);
  free(h);
  return total;
}

/* What C code does with lists: a logger. */
static char line[256];
static size_t used;
static int emit(int c) { line[used++] = (char)id(c); line[used] = 0; return c; }
static void vlog(const char *format, va_list ap) {
  for (; *format; format++) {
    if (*format != '%') { emit(*format); continue; }
    char text[32];
    switch (*++format) {
      case 'd': snprintf(text, sizeof text, "%d", va_arg(ap, int)); break;
      case 'f': snprintf(text, sizeof text, "%.1f", va_arg(ap, double)); break;
      case 's': snprintf(text, sizeof text, "%s", va_arg(ap, const char *)); break;
      default: snprintf(text, sizeof text, "?"); break;
    }
    for (char *t = text; *t; t++) emit(*t);
  }
}
static void logger(const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  vlog(format, ap);
  va_end(ap);
  emit('\n');
}
static int counted(int depth, ...) {
  va_list ap;
  int total = 0;
  if (depth == 0) return id(1);
  va_start(ap, depth);
  total = counted(depth - 1, depth, depth * 2, depth * 3, 4, 5, 6, 7, 8);
  for (int i = 0; i < 8; i++) total = (total * 3 + va_arg(ap, int)) & 0xffffff;
  va_end(ap);
  return id(total);
}
static const char *name(const char *format, ...) {
  static char buffer[64];
  va_list ap;
  va_start(ap, format);
  id(1);
  vsnprintf(buffer, sizeof buffer, format, ap);
  va_end(ap);
  return buffer;
}
static int unused(int n, ...) { return id(n); }

int main(void) {
  struct pair p = {3, 0.5};
  struct large l = {{0}};
  l.x[19] = 9;
  printf("%.2f\n", sum("iildsdiiiidddddddddLsi", 1, -2, 1L << 40, 2.5, "four", 0.25, 5, 6, 7, 8, 1., 2., 3., 4., 5., 6.,
                       7., 8., 9., 10.5L, "x", 99));
  printf("%.2f\n", structs(3, p, l, p, l, p, l));
  printf("%d %d\n", late(9, 1, 2, 3, 4, 5, 6, 7, 8, 9), late(0));
  printf("%d\n", twice(4, 1, 2, 3, 4));
  printf("%d\n", held(8, 1, 2, 3, 4, 5, 6, 7, 8));
  logger("%d and %f and %s; %d %d %d %d", 12, 2.5, "text", 3, 4, 5, 6);
  fputs(line, stdout);
  printf("%d\n", counted(6, 1, 2, 3, 4, 5, 6, 7, 8));
  printf("%s %d\n", name("%s-%d-%g", "n", 7, 1.5), unused(3, 4));
  return id(0);
}
