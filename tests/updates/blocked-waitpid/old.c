#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int round = 1;; round++) {
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
      char byte;
      _exit(read(0, &byte, 1) == 1 ? byte : 0);
    }
    printf("waits %d\n", round);
    pid_t got = waitpid(child, &status, 0);
    printf("old %s %d\n", got == child ? "the child" : "another", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    if (status == 0)
      return 0;
  }
}
