/* Joining and cancelling. */
#include "../case.h"

static int pipe_ends[2];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static sem_t semaphore;
static volatile int cleaned;

static void clean(void *argument) { cleaned += (int)(long)argument; }

static void *late(void *argument) {
  a_moment(100);
  return argument;
}

static void *leave(void *argument) {
  a_moment(50);
  pthread_exit(argument);
}

static void *reads(void *argument) {
  char buffer[8];
  pthread_cleanup_push(clean, (void *)1);
  read(pipe_ends[0], buffer, sizeof buffer);
  pthread_cleanup_pop(0);
  return argument;
}

static void *polls(void *argument) {
  poll(NULL, 0, -1);
  return argument;
}

static void *sleeps(void *argument) {
  sleep(1000);
  return argument;
}

static void unlock(void *argument) {
  (void)argument;
  cleaned += pthread_mutex_unlock(&mutex) == 0;
}

static void *waits(void *argument) {
  pthread_mutex_lock(&mutex);
  pthread_cleanup_push(unlock, NULL);
  for (;;) pthread_cond_wait(&condition, &mutex);
  pthread_cleanup_pop(0);
  return argument;
}

static void *takes(void *argument) {
  while (sem_wait(&semaphore)) {
  }
  return argument;
}

static void *gets_line(void *argument) {
  char line[100];
  FILE *stream = argument;
  fgets(line, sizeof line, stream);
  return NULL;
}

static void *joins(void *argument) {
  pthread_join(*(pthread_t *)argument, NULL);
  return NULL;
}

static void *shielded(void *argument) {
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
  poll(NULL, 0, 100);
  sleep(0);
  cleaned += 10;
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
  poll(NULL, 0, -1);
  return argument;
}

static void cancelled(const char *what, void *(*function)(void *), void *argument, long ms) {
  pthread_t thread;
  void *result;
  cleaned = 0;
  CHECK(!pthread_create(&thread, NULL, function, argument));
  a_moment(ms);
  CHECK(!pthread_cancel(thread));
  CHECK(!pthread_join(thread, &result));
  printf("%s: %s, cleaned %d\n", what, result == PTHREAD_CANCELED ? "cancelled" : "not cancelled", cleaned);
}

int run(void) {
  pthread_t thread, self = pthread_self();
  void *result;
  CHECK(!pipe(pipe_ends));
  CHECK(!pthread_create(&thread, NULL, late, (void *)5));
  SHOW(pthread_join(thread, &result));
  SHOW(result);
  CHECK(!pthread_create(&thread, NULL, leave, (void *)6));
  SHOW(pthread_join(thread, &result));
  SHOW(result);
  CHECK(!pthread_create(&thread, NULL, late, (void *)7));
  a_moment(200);
  SHOW(pthread_join(thread, &result));
  SHOW(result);
  CHECK(!pthread_create(&thread, NULL, late, (void *)8));
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  SHOW(pthread_timedjoin_np(thread, &result, &until));
  until.tv_sec += 10;
  SHOW(pthread_timedjoin_np(thread, &result, &until));
  SHOW(result);
  CHECK(!pthread_create(&thread, NULL, late, (void *)9));
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += 10;
  SHOW(pthread_clockjoin_np(thread, &result, CLOCK_BOOTTIME, &until));
  SHOW(pthread_clockjoin_np(thread, &result, CLOCK_MONOTONIC, &until));
  CHECK(!pthread_create(&thread, NULL, late, NULL));
  CHECK(!pthread_detach(thread));
  SHOW(pthread_join(thread, NULL));
  a_moment(200);

  sem_init(&semaphore, 0, 0);
  FILE *stream = fdopen(pipe_ends[0], "r");
  for (int round = 0; round < 2; round++) {
    long ms = round ? 0 : 50; /* at first they are asleep already */
    cancelled("read", reads, NULL, ms);
    cancelled("poll", polls, NULL, ms);
    cancelled("sleep", sleeps, NULL, ms);
    cancelled("condition", waits, NULL, ms);
    CHECK(!pthread_mutex_lock(&mutex) && !pthread_mutex_unlock(&mutex));
    cancelled("semaphore", takes, NULL, ms);
    cancelled("stream", gets_line, stream, ms);
    CHECK(!ftrylockfile(stream));
    funlockfile(stream);
    cancelled("join", joins, &self, ms);
    cancelled("shielded", shielded, NULL, 20);
  }
  int value;
  sem_getvalue(&semaphore, &value);
  SHOW(value);
  SHOW(pthread_cond_destroy(&condition));
  return 0;
}
