/* A server's loop, with an error behind it that says it should not have come back. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int ends[2], sum;

static void fatal(const char *why) __attribute__((noreturn));
static void fatal(const char *why)
{
  printf("%s: %d\n", why, sum);
  fflush(stdout);
  exit(1);
}

static int next(void)
{
  unsigned char c;
  return read(ends[0], &c, 1) == 1 ? c : -1;
}

static void serve(int factor)
{
  for (;;) {
    int c = next();
    if (c < 0)
      return;
    sum += c * factor;
  }
}

static void send_some(const char *words)
{
  if (pipe(ends) != 0 || write(ends[1], words, 5) != 5)
    fatal("no pipe");
  close(ends[1]);
}

int main(int argc, char **argv)
{
  int factor = argc + 2;
  send_some("first");
  if (fork() == 0) {
    int kept = factor * 2;
    serve(kept);
    fatal(kept == 6 ? "the child came back" : "wrong");
  }
  wait(NULL);
  sum = 7;
  close(ends[0]);
  send_some("again");
  serve(factor);
  fatal(argv[0] ? "the server came back" : "wrong");
}
