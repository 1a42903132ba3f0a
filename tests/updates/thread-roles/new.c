#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int pair[2];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;
static int jobs;
static long spun;

static void *spin(void *unused) {
  for (;;) {
    for (int i = 0; i < 1000; i++)
      spun += i & 1;
    pthread_testcancel();
    printf("new spinner\n");
    usleep(1000);
  }
  return unused;
}

static void *forward(void *unused) {
  char byte;
  while (read(0, &byte, 1) == 1)
    send(pair[0], &byte, 1, 0);
  exit(0);
  return unused;
}

static void *receive(void *unused) {
  char byte;
  while (recv(pair[1], &byte, 1, 0) == 1) {
    printf("new receiver %c\n", byte);
    pthread_mutex_lock(&lock);
    jobs++;
    pthread_cond_signal(&work);
    pthread_mutex_unlock(&lock);
  }
  return unused;
}

static void *labour(void *unused) {
  for (int done = 0;; done++) {
    pthread_mutex_lock(&lock);
    while (jobs == 0)
      pthread_cond_wait(&work, &lock);
    jobs--;
    pthread_mutex_unlock(&lock);
    printf("new worker %d\n", done + 1);
  }
  return unused;
}

int main(void) {
  void *(*roles[])(void *) = {spin, forward, receive, labour};
  pthread_t threads[4];
  setvbuf(stdout, NULL, _IOLBF, 0);
  socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  for (int i = 0; i < 4; i++)
    pthread_create(&threads[i], NULL, roles[i], NULL);
  for (;;) {
    sleep(1);
    printf("new main\n");
  }
}
