/* A tree of processes for fault injection: a master with threads that forks workers again when they die, workers with
 * a thread that waits and one that works, children that come and go, and one that lost its parent. Each says every few
 * milliseconds which version it runs, and dies with a message if its own data are not what they must be. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS 4

struct figures {
  long up;
#ifdef NEW
  char note[24];
#endif
  long down;
};

static struct figures figures = {.up = 0, .down = 0};
static int pipes[2];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void rest(long microseconds) {
  struct timespec time = {0, microseconds * 1000};
  nanosleep(&time, NULL);
}

static void say(const char *who) {
  char line[80];
  struct timespec now;
  /* No update can come between these two; between them and the write it can. */
  clock_gettime(CLOCK_MONOTONIC, &now);
  int length = snprintf(line, sizeof line, "%d %s %s %ld%09ld\n", (int)getpid(), VERSION, who, now.tv_sec, now.tv_nsec);
  if (write(1, line, (size_t)length) != length) _exit(3);
}

static void step(long count) {
  pthread_mutex_lock(&lock);
  figures.up++;
#ifdef NEW
  figures.note[count % 24] = (char)count;
#endif
  rest(200);
  figures.down--;
  if (figures.up + figures.down != 0 || count < 0) say("DAMAGED");
  pthread_mutex_unlock(&lock);
}

static void *wait_for_ever(void *unused) {
  char byte;
  while (read(pipes[0], &byte, 1) == 1) continue;
  say("DAMAGED");
  return unused;
}

static void *work_beside(void *unused) {
  for (long count = 0;; count++) step(count);
  return unused;
}

static void start(void *(*what)(void *)) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, what, NULL) != 0) _exit(4);
}

static void live(const char *who, long heartbeats) {
  long before = -1;
  for (long count = 0; heartbeats == 0 || count < heartbeats; count++) {
    if (count != before + 1) say("DAMAGED");
    before = count;
    say(who);
    step(count);
    rest(4000);
  }
}

static pid_t have(const char *who, long heartbeats, int threads) {
  pthread_mutex_lock(&lock);
  pid_t child = fork();
  pthread_mutex_unlock(&lock);
  if (child != 0) return child;
  if (threads) {
    start(wait_for_ever);
    start(work_beside);
  }
  live(who, heartbeats);
  _exit(0);
}

static void lose_parent(void) {
  if (fork() == 0) {
    have("orphan", 0, 0);
    _exit(0);
  }
}

int main(void) {
  pid_t workers[WORKERS];
  if (pipe(pipes) != 0) return 2;
  for (int i = 0; i < WORKERS; i++) workers[i] = have("worker", 0, 1);
  lose_parent();
  start(wait_for_ever);
  for (long count = 0;; count++) {
    int status;
    say("master");
    if (count % 8 == 0) have("guest", 3, 0);
    for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;)
      for (int i = 0; i < WORKERS; i++)
        if (workers[i] == ended) workers[i] = have("worker", 0, 1);
    step(count);
    rest(5000);
  }
}
