#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t alarms;

static void on_alarm(int signal) {
  (void)signal;
  alarms++;
}

/* Everything but SIGALRM is blocked; read is interrupted by the alarm only. */
int main(void) {
  struct sigaction action = {.sa_handler = on_alarm};
  sigset_t mask;
  char byte;
  setvbuf(stdout, NULL, _IOLBF, 0);
  sigfillset(&mask);
  sigdelset(&mask, SIGALRM);
  sigprocmask(SIG_SETMASK, &mask, NULL);
  sigaction(SIGALRM, &action, NULL);
  for (int n = 0;; n++) {
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    alarm(1);
    printf("waits\n");
    ssize_t got = read(0, &byte, 1);
    if (got < 0)
      printf("new %s %s alarms %s\n", errno == EINTR ? "interrupted" : "failed",
             sigismember(&now, SIGUSR1) && !sigismember(&now, SIGALRM) ? "masked" : "unmasked",
             alarms == n + 1 ? "counted" : "lost");
    else if (got == 0)
      return 0;
  }
}
