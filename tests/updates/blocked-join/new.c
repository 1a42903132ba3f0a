#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

static void *once(void *argument) {
  char byte;
  if (read(0, &byte, 1) != 1)
    _exit(0);
  return (void *)((intptr_t)argument * 3);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (intptr_t i = 1;; i++) {
    pthread_t thread;
    void *result = NULL;
    pthread_create(&thread, NULL, once, (void *)i);
    printf("waits for %d\n", (int)i);
    int error = pthread_join(thread, &result);
    printf("new joined %d: %d %d\n", (int)i, error, (int)(intptr_t)result);
  }
}
