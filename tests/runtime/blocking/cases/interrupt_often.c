/* A handler that runs while a thread waits always ends the wait, whatever else stops the thread at that moment. */
#include "../case.h"

enum { ROUNDS = 150 };

static int ends[2];
static sem_t semaphore;
static pid_t target_id;
static pthread_t target;
static volatile sig_atomic_t round_done, handled;

static void on_signal(int number) {
  (void)number;
  handled++;
}

static long wait_by(int kind) {
  char byte;
  struct timespec length = {1000, 0};
  switch (kind % 6) {
  case 0:
    return read(ends[0], &byte, 1);
  case 1:
    return poll(NULL, 0, 1000000);
  case 2:
    return sem_wait(&semaphore);
  case 3:
    return nanosleep(&length, NULL);
  case 4:
    return pause();
  default:
    return sem_timedwait(&semaphore, &(struct timespec){time(NULL) + 1000, 0});
  }
}

static void *interrupt(void *argument) {
  for (int i = 0; i < ROUNDS; i++) {
    while (round_done != i) sched_yield();
    until_asleep(target_id);
    pthread_kill(target, SIGUSR1);
    while (round_done == i) a_moment(1);
  }
  return argument;
}

int run(void) {
  struct sigaction action = {.sa_handler = on_signal};
  pthread_t thread;
  int right = 0;
  CHECK(!pipe(ends));
  sem_init(&semaphore, 0, 0);
  sigaction(SIGUSR1, &action, NULL);
  target = pthread_self();
  target_id = gettid();
  round_done = -1;
  pthread_create(&thread, NULL, interrupt, NULL);
  for (int i = 0; i < ROUNDS; i++) {
    round_done = i;
    right += wait_by(i) == -1 && errno == EINTR && handled == i + 1;
  }
  round_done = ROUNDS;
  SHOW(right);
  pthread_join(thread, NULL);
  return 0;
}
