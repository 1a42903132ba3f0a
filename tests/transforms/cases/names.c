/* The name of the function is the same in its clones, whatever is asked about it. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

static void loop(int n) {
  for (int i = 0;; i++)
    if (i >= n) return;
}

static __attribute__((noinline)) int named(int n) {
  const char *name = __func__;
  loop(n);
  assert(n >= 0);
  return (int)(sizeof(__func__) + sizeof __FUNCTION__ + strlen(__FUNCTION__)) + (name[0] == __func__[0]);
}

/* Called in one place: the resume clone calls a copy. */
static int called_once(int n) {
  loop(n);
  printf("%s %zu\n", __func__, sizeof(__func__));
  return n;
}
static int called_once_and_plain(int n) { return (int)strlen(__FUNCTION__) + n; }
static int outer(int n) {
  int r = called_once(n) + called_once_and_plain(n);
  loop(n);
  return r;
}

/* Locals that hide the type of the calls' results, which has no other name. */
typedef struct { int n; } user;
static user *next(user *u) {
  loop(u->n);
  u->n++;
  return u;
}
static int hidden(int n) {
  user one = {n}, *user = &one;
  user = next(user);
  if (next(user)->n > 3 && (next(user), 1)) user = next(next(user));
  return user->n;
}

int main(void) {
  for (int n = 0; n < 4; n++) printf("%d %d\n", named(n), outer(n));
  printf("%s %d %d\n", __func__, hidden(0), hidden(3));
  return 0;
}
