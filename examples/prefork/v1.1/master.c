#include "prefork.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Signals are taken where the master waits for them and nowhere else; workers begin with the same mask. */
static void block(sigset_t *signals) {
  sigemptyset(signals);
  sigaddset(signals, SIGTERM);
  sigaddset(signals, SIGINT);
  sigaddset(signals, SIGCHLD);
  sigprocmask(SIG_BLOCK, signals, NULL);
}

static unsigned forks_failed;

static bool start(unsigned number, int listener) {
  pid_t master = getpid(), pid = fork();
  if (pid < 0) {
    forks_failed++;
    return false;
  }
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != master)
      _exit(1);
    exit(worker_run(number, listener));
  }
  board->worker[number].connections = 0;
  board->worker[number].requests = 0;
  board->worker[number].pid = pid;
  return true;
}

/* For those that have died others are started. */
static void collect(const int *listeners, unsigned count) {
  pid_t pid;
  int status;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    for (unsigned i = 0; i < count; i++) {
      if (board->worker[i].pid != pid)
        continue;
      board->worker[i].pid = 0;
      if (WIFSIGNALED(status) || WEXITSTATUS(status) != 0)
        board->respawned += start(i, listeners[i]);
    }
  }
}

/* Places that are empty: there could be no fork, or the worker stopped by itself. */
static void fill(const int *listeners, unsigned count) {
  for (unsigned i = 0; i < count; i++)
    if (board->worker[i].pid == 0 && !start(i, listeners[i]))
      return;
}

static void stop(unsigned count) {
  for (unsigned i = 0; i < count; i++)
    if (board->worker[i].pid != 0)
      kill(board->worker[i].pid, SIGTERM);
  while (wait(NULL) > 0 || errno == EINTR)
    ;
}

int master_run(const int *listeners, unsigned count) {
  sigset_t signals;
  block(&signals);
  for (unsigned i = 0; i < count; i++) {
    if (!start(i, listeners[i])) {
      perror("prefork: fork");
      stop(i);
      return 1;
    }
  }
  for (;;) {
    struct timespec second = {.tv_sec = 1};
    int signal = sigtimedwait(&signals, NULL, &second);
    if (signal == SIGTERM || signal == SIGINT)
      break;
    collect(listeners, count);
    fill(listeners, count);
  }
  stop(count);
  printf("prefork %s stops, %u workers were replaced, %u forks failed\n", PF_VERSION, board->respawned,
         forks_failed);
  return 0;
}
