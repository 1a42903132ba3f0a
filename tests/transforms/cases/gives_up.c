/* Functions that end the process though nothing declares that they do: children give up in the midst of calls, in loops,
   through a callback, and on the way out work goes on that has points of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char said[256];
static int depth;
static void (*at_the_end)(void);

static void say(const char *words)
{
  while (*words && strlen(said) < sizeof said - 1) {
    char one[2] = {*words++, 0};
    strcat(said, one);
  }
}

static void leave(int status)
{
  if (at_the_end) {
    void (*function)(void) = at_the_end;
    at_the_end = 0;
    function();
  }
  _exit(status);
}

static void report(void)
{
  for (int i = 0; said[i];) {
    ssize_t sent = write(1, said + i, strlen(said + i));
    if (sent < 0)
      break;
    i += (int)sent;
  }
}

static void die(const char *why)
{
  say(why);
  say("\n");
  at_the_end = report;
  leave(3);
}

static void die_of(const char *why, int number)
{
  char text[64];
  snprintf(text, sizeof text, "%s %d", why, number);
  if (number > 2)
    die(text);
  else {
    say("small ");
    die(text);
  }
}

static int checked(int value, int limit)
{
  if (value > limit)
    die_of("too large:", value);
  return value * 2;
}

static int compare(const void *a, const void *b)
{
  int x = *(const int *)a, y = *(const int *)b;
  if (x == 7 && y == 7)
    die("two of them");
  return x - y;
}

static int down(int n)
{
  depth++;
  if (n < 0)
    die_of("deep", depth);
  return n ? down(n - 1 - (n == 5) * 9) + checked(n, 20) : 0;
}

static int sum(int upto, int limit)
{
  int total = 0;
  if (upto > 90)
    die("too many");
  for (int i = 0; i != upto; i++)
    total += checked(i, limit) + down(i % 3);
  return total;
}

static void child(int what)
{
  int values[] = {3, 9, 7, 1, 7, 2};
  switch (what) {
  case 0: printf("%d\n", sum(30, 50)); break;
  case 1: printf("%d\n", sum(30, 20)); break;
  case 2: printf("%d\n", sum(30, 1)); break;
  case 3: printf("%d\n", down(4)); break;
  case 4: printf("%d\n", down(12)); break;
  case 5: qsort(values, 6, sizeof *values, compare); break;
  default: die_of("nothing is", what);
  }
  fflush(stdout);
  leave(0);
}

int main(void)
{
  for (int what = 0; what < 7; what++) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0)
      die("no child");
    if (!pid)
      child(what);
    int status;
    while (waitpid(pid, &status, 0) < 0)
      ;
    printf("%d: %d\n", what, WEXITSTATUS(status));
  }
  return 0;
}
