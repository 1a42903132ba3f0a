#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <unistd.h>

static sem_t items;
static int taken;

static void *take(void *unused) {
  for (;;) {
    if (sem_wait(&items) != 0)
      perror("sem_wait");
    printf("new took %d\n", ++taken);
  }
  return unused;
}

int main(void) {
  pthread_t thread;
  char byte;
  setvbuf(stdout, NULL, _IOLBF, 0);
  sem_init(&items, 0, 0);
  pthread_create(&thread, NULL, take, NULL);
  while (read(0, &byte, 1) == 1)
    sem_post(&items);
  _exit(0);
}
