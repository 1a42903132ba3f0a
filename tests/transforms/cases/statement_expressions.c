/* Statement expressions with points inside: nested, left by every kind of jump, as arguments and conditions. */
#include <stdio.h>
#include <string.h>
static int calls;
static int id(int x) { calls++; return x; }
struct pair { int a; double b; };
#define MAX(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ > b_ ? a_ : b_; })
#define CHECK(x) do { int check_ = (x); if (!check_) { printf("check of %s failed\n", #x); } } while (0)
static int returns(int n) {
  for (int i = 0;; i++) {
    int v = ({ int w = id(i); if (w > n) return w * 100 + id(1); w + id(2); });
    calls += v;
  }
}
static int breaks(void) {
  int s = 0;
  for (int i = 0; i < 10; i++) {
    s += ({ int w = id(i); if (w == 3) continue; if (w == 6) break; w * id(2); });
    while (id(1)) { s += ({ if (id(s) & 1) break; id(1); }); }
  }
  return s;
}
static int jumps(int n) {
  int s = 0;
again:
  s++;
  s += id(1) + ({ if (id(s) < n) goto again; if (id(s) > n + 2) goto out; id(3); });
  s += 1000;
out:
  return s;
}
static struct pair made(int x) { return ({ struct pair p = {id(x), id(x) * 0.5}; p.a++; p; }); }
static int nested(int x) {
  return ({ int a = ({ int b = ({ int c = id(x); c + id(1); }); b * id(2); }); ({ a += id(3); a; }) + ({ int a = id(7); a; }); });
}
static int conditions(int x) {
  int s = 0;
  if (({ int t = id(x); t > 2; })) s += 1; else if (({ id(x) == 2; })) s += 2; else s += 4;
  while (({ int t = id(s); t < 20; })) s += ({ int k = 0; for (int i = 0; i < 3; i++) k += id(i); k; });
  do s++; while (({ id(s) % 4; }));
  for (int i = ({ id(0); }); ({ id(i) < 3; }); i += ({ id(1); })) s += i;
  switch (({ int z = id(s % 3); z; })) { case 0: s += id(10); break; case 1: s += id(20); break; default: s += id(30); }
  s += ({ id(x) > 1; }) && ({ id(x) > 2; }) ? ({ id(5); }) : ({ id(6); });
  return s;
}
static void voids(void) { ({ id(1); (void)0; }); ({ if (id(1)) calls++; }); (void)({ id(2); }); ({ ; }); ({ }); }
static const char *strings(int x) { return ({ const char *r; switch (id(x)) { case 0: r = "zero"; break; default: r = "other"; } r; }); }
int main(void) {
  struct pair p = made(id(4));
  int array[] = {({ id(1); }), ({ int q = id(2); q + 1; }), MAX(id(3), id(9))};
  struct pair q = {.b = ({ id(8) / 3.0; }), .a = MAX(MAX(id(1), id(2)), MAX(id(4), id(3)))};
  CHECK(id(1)); CHECK(id(0));
  printf("%d %d %d %d %.2f\n", returns(4), breaks(), jumps(5), p.a, p.b);
  printf("%d %d %d %d\n", nested(1), conditions(1), conditions(2), conditions(3));
  voids();
  printf("%s %s %d %d %d %d %.3f\n", strings(0), strings(id(1)), array[0], array[1], array[2], q.a, q.b);
  printf("%zu %d\n", strlen(({ const char *s = strings(id(2)); s; })), ({ struct pair z = made(id(6)); z.a; }) + made(({ id(2); })).a);
  int k = 5, m = ({ int k = id(1); k + 1; }) + k;
  printf("%d %d\n", m, calls);
  return ({ int code = id(3); code; });
}
