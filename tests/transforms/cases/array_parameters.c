/* Parameters that are declared as arrays or functions are pointers, and have an address as others have. */
#include <stdarg.h>
#include <stdio.h>

static int id(int x) { return x; }
typedef __typeof__((*(va_list *)0)[0]) element;

static int read_only(int a[4], int rows[][3]) {
  int sum = a[1] + rows[1][2];
  sum += id(3);
  return sum + id(*rows[0]);
}
static int stepped(int a[static 2]) {
  int sum = 0;
  for (int *end = a + 4; a < end; a++) sum += id(*a);
  return sum + id(a[-1]);
}
static int by_address(int a[4]) {
  int **place = &a;
  int sum = id((*place)[0]);
  (*place)++;
  sum += id(a[0]) * 10;
  *(&a) += 1;
  return sum + id(**place) * 100 + (place == &a) * 1000;
}
static int function(int other(int)) {
  int (**place)(int) = &other;
  int sum = id((*place)(1));
  *place = id;
  return sum + id(other(7)) * 10 + (place == &other) * 1000;
}
static int next(element **list) { return id(va_arg(*(va_list *)*list, int)); }
static int from_list(int n, va_list list) {
  element **place = (void *)&list;
  int sum = 0;
  for (int i = 0; i < n; i++) sum = 10 * sum + next(place) + id(va_arg(list, int));
  return sum;
}
static int unused_then(const char *text, va_list list) {
  int sum = va_arg(list, int) + *text;
  return id(sum) + id(sum);
}
static int from(int n, ...) {
  va_list list;
  va_start(list, n);
  int sum = from_list(n, list);
  sum += unused_then("a", list);
  va_end(list);
  return sum;
}
static int square(int x) { return id(x) * x; }

int main(void) {
  int a[4] = {1, 2, 3, 4}, rows[2][3] = {{1, 2, 3}, {4, 5, 6}};
  printf("%d\n", read_only(a, rows));
  printf("%d\n", stepped(a));
  printf("%d\n", by_address(a));
  printf("%d\n", function(square));
  printf("%d\n", from(2, 1, 2, 3, 4, 5));
  printf("%d %d %d %d\n", a[0], a[1], a[2], a[3]);
}
