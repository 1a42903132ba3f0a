#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int queued, taken;

static void *take(void *name) {
  for (;;) {
    pthread_mutex_lock(&lock);
    while (queued == 0)
      pthread_cond_wait(&changed, &lock);
    queued--;
    taken++;
    printf("old %s took %d\n", (const char *)name, taken);
    pthread_mutex_unlock(&lock);
  }
  return NULL;
}

static void *tick(void *unused) {
  for (;;) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 300000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lock);
    int result;
    do {
      result = pthread_cond_timedwait(&changed, &lock, &until);
    } while (result == 0);
    printf("old tick %s\n", result == ETIMEDOUT ? "on time" : "in error");
    pthread_mutex_unlock(&lock);
  }
  return unused;
}

int main(void) {
  static char *names[] = {"A", "B"};
  pthread_t thread;
  char byte;
  setvbuf(stdout, NULL, _IOLBF, 0);
  pthread_create(&thread, NULL, take, names[0]);
  pthread_create(&thread, NULL, take, names[1]);
  pthread_create(&thread, NULL, tick, NULL);
  while (read(0, &byte, 1) == 1) {
    pthread_mutex_lock(&lock);
    queued++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
  }
  exit(0);
}
