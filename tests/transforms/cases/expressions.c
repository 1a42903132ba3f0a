#include <stdio.h>
static int trace[256], n;
static int t(int v) { for (int i = 0; i < 1; i++) trace[n++ & 255] = v; return v; }
static int *p(int *x) { t(100); return x; }
struct pair { int a; long b; };
static struct pair mk(int a, long b) { t(a); struct pair r = {a, b}; return r; }
static int global = 3;
static int bump(void) { t(7); return ++global; }
int main(void) {
  int a = 1, b = 0, arr[4] = {1, 2, 3, 4};
  a = t(1) && t(0) || t(5);
  b = a ? t(2) : t(3);
  b += (a ? t(6) : 9) * 2 - 1; b -= (t(8), t(9));
  *p(&a) = t(10) + *p(&b);
  arr[t(1)] = arr[t(2)] + t(3);
  arr[t(0)] += t(11);
  b = t(0) ?: t(12);
  b = t(13) ?: t(14);
  int c = mk(t(15), t(16)).a + (int)mk(17, 18).b;
  int d = ({ int z = t(19); z += t(20); z; });
  int e = 2 * bump(), f = bump() + e, g = t(e) + t(f);
  if (t(0) || (a && !t(21))) d++;
  else if (t(22) && t(23)) d += 2;
  else d += 3;
  unsigned char h = (unsigned char)t(300);
  long long ll = t(5) << (t(2) + 1);
  int (*fp)(int) = t;
  int i = fp(24) + (*fp)(25) + (&t)(26);
  (void)t(27);
  t(28), t(29);
  i += sizeof(t(30));
  !t(0) && (i = t(31));
  int *q = t(1) ? p(&a) : p(&b);
  printf("%d %d %d %d %d %d %d %d %d %d %lld %d %d\n", a, b, c, d, e, f, g, h, i, *q, ll, arr[0], arr[1]);
  for (int k = 0; k < n; k++) printf("%d ", trace[k]);
  printf("\n");
  return t(3);
}
