#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static pthread_mutex_t lock;
static int turns;

static void *contend(void *name) {
  for (;;) {
    pthread_mutex_lock(&lock);
    printf("old %s turn %d\n", (const char *)name, ++turns);
    pthread_mutex_unlock(&lock);
    usleep(1000);
  }
  return NULL;
}

/* Holds the lock while it waits for input, so that the others wait for the lock. */
int main(void) {
  static char *names[] = {"A", "B"};
  pthread_t thread[2];
  char byte;
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&lock, &attributes);
  setvbuf(stdout, NULL, _IOLBF, 0);
  pthread_mutex_lock(&lock);
  for (int i = 0; i < 2; i++)
    pthread_create(&thread[i], NULL, contend, names[i]);
  for (;;) {
    printf("old main holds the lock\n");
    if (read(0, &byte, 1) != 1)
      _exit(0);
    int before = turns;
    pthread_mutex_unlock(&lock);
    usleep(50000);
    pthread_mutex_lock(&lock);
    printf("old others had %s\n", turns > before ? "turns" : "none");
  }
}
