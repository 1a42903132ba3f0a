/* Every way to execute a program, with arguments and environment, and what happens when there is none. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int execute(int way, const char *path) {
  static char self[] = "self", one[] = "one", two[] = "two words", empty[] = "", variable[] = "GIVEN=yes";
  char *arguments[] = {self, one, two, empty, NULL}, *environment[] = {variable, NULL};
  int (*pointer)(const char *, char *const[]) = execv;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  switch (way) {
    case 0: return execve(path, arguments, environment);
    case 1: return execv(path, arguments);
    case 2: return execvp(path, arguments);
    case 3: return execvpe(path, arguments, environment);
    case 4: return execveat(AT_FDCWD, path, arguments, environment, 0);
    case 5: return fexecve(file, arguments, environment);
    case 6: return execl(path, self, one, two, empty, NULL);
    case 7: return execlp(path, self, one, two, empty, NULL);
    case 8: return execle(path, self, one, two, empty, NULL, environment);
    default: return pointer(path, arguments);
  }
}

/* What a program finds blocked, but for what is reserved. */
static unsigned long blocked(void) {
  unsigned long mask = 0;
  sigset_t set;
  sigprocmask(SIG_BLOCK, NULL, &set);
  for (int number = 1; number < 32; number++) mask |= sigismember(&set, number) == 1 ? 1ul << number : 0;
  return mask;
}

int main(int count, char **arguments) {
  static char path[4096];
  setvbuf(stdout, NULL, _IONBF, 0);
  if (count != 1) {
    printf("%d:", count);
    for (int i = 0; i < count; i++) printf(" [%s]", arguments[i]);
    printf(" %s %s, blocked %lx\n", getenv("GIVEN") ? getenv("GIVEN") : "-", environ[0] ? "some" : "none", blocked());
    return count;
  }
  path[readlink("/proc/self/exe", path, sizeof path - 1)] = 0;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  for (int way = 0; way < 10; way++) {
    int status = 0;
    if (fork() == 0) _exit(execute(way, path) == -1 ? errno : 99);
    wait(&status);
    printf("%d: %x\n", way, status);
    errno = 0;
    int result = execute(way, "/nowhere");
    printf("%d: %d %s, blocked %lx\n", way, result, strerrorname_np(errno), blocked());
  }
  return 0;
}
