/* Nobody who waits for a lock, a condition or a semaphore is forgotten, and nothing is let in that must wait. */
#include "../case.h"

enum { THREADS = 4, ROUNDS = 4000 };

static pthread_mutex_t mutexes[4];
static long counters[4], inside[4];

static void *take_locks(void *argument) {
  unsigned random = (unsigned)(long)argument + 1;
  for (int i = 0; i < ROUNDS; i++) {
    int which = rand_r(&random) % 4;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    CHECK(!(i % 3 ? pthread_mutex_lock(mutexes + which) : pthread_mutex_timedlock(mutexes + which, &until)));
    bool again = which == 1 && i % 2;
    if (again) CHECK(!pthread_mutex_lock(mutexes + which));
    CHECK(inside[which]++ == 0);
    counters[which]++;
    if (i % 16 == 0) sched_yield();
    if (i % 512 == 0) a_moment(1);
    inside[which]--;
    if (again) CHECK(!pthread_mutex_unlock(mutexes + which));
    CHECK(!pthread_mutex_unlock(mutexes + which));
  }
  return NULL;
}

/* ---- Owners that die with a robust mutex ----------------------------------------------------------------------------- */

static _Atomic long deaths, alive;

static void *die_with_it(void *argument) {
  pthread_mutex_t *robust = mutexes;
  unsigned random = (unsigned)(long)argument + 7;
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 20;
  int error = (long)argument % 2 ? pthread_mutex_lock(robust) : pthread_mutex_timedlock(robust, &until);
  CHECK(error == 0 || error == EOWNERDEAD);
  if (error) CHECK(!pthread_mutex_consistent(robust));
  if (error) deaths++;
  CHECK(alive++ == 0);
  if (rand_r(&random) % 4 == 0) a_moment(1);
  alive--;
  if (rand_r(&random) % 2) CHECK(!pthread_mutex_unlock(robust));
  return NULL;
}

/* ---- A queue with two conditions ------------------------------------------------------------------------------------ */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static int queue[3], length;
static long sum;

static void *produce(void *argument) {
  for (int i = 1; i <= ROUNDS; i++) {
    pthread_mutex_lock(&mutex);
    while (length == 3) pthread_cond_wait(&not_full, &mutex);
    queue[length++] = i;
    if (i % 5)
      pthread_cond_signal(&not_empty);
    else
      pthread_cond_broadcast(&not_empty);
    pthread_mutex_unlock(&mutex);
  }
  return argument;
}

static void *consume(void *argument) {
  for (int i = 1; i <= ROUNDS; i++) {
    pthread_mutex_lock(&mutex);
    while (!length) {
      struct timespec until;
      clock_gettime(CLOCK_REALTIME, &until);
      until.tv_sec += 20;
      int error = i % 2 ? pthread_cond_wait(&not_empty, &mutex) : pthread_cond_timedwait(&not_empty, &mutex, &until);
      CHECK(!error);
    }
    sum += queue[--length];
    pthread_cond_signal(&not_full);
    pthread_mutex_unlock(&mutex);
  }
  return argument;
}

/* ---- Semaphores handed round ------------------------------------------------------------------------------------------ */

static sem_t ring[THREADS];
static long turns;

static void *pass_on(void *argument) {
  long self = (long)argument;
  for (int i = 0; i < ROUNDS / 4; i++) {
    while (sem_wait(ring + self)) CHECK(errno == EINTR);
    turns++;
    sem_post(ring + (self + 1) % THREADS);
  }
  return NULL;
}

/* ---- Destroyed as soon as it may be ----------------------------------------------------------------------------------- */

struct gate {
  pthread_mutex_t mutex;
  pthread_cond_t condition;
  int open;
};

static void *wait_at(void *argument) {
  struct gate *gate = argument;
  pthread_mutex_lock(&gate->mutex);
  while (!gate->open) pthread_cond_wait(&gate->condition, &gate->mutex);
  gate->open++;
  pthread_mutex_unlock(&gate->mutex);
  return NULL;
}

static void all(void *(*function)(void *), int count) {
  pthread_t threads[THREADS];
  for (long i = 0; i < count; i++) CHECK(!pthread_create(threads + i, NULL, function, (void *)i));
  for (int i = 0; i < count; i++) CHECK(!pthread_join(threads[i], NULL));
}

int run(void) {
  pthread_mutexattr_t attributes;
  int kinds[4] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP};
  for (int i = 0; i < 4; i++) {
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, kinds[i]);
    pthread_mutex_init(mutexes + i, &attributes);
  }
  all(take_locks, THREADS);
  SHOW(counters[0] + counters[1] + counters[2] + counters[3]);

  /* Robust ones; those that inherit priority are left to libc. */
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(mutexes, &attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_STALLED);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  pthread_mutex_init(mutexes + 2, &attributes);
  memset(counters, 0, sizeof counters);
  all(take_locks, THREADS);
  SHOW(counters[0] + counters[1] + counters[2] + counters[3]);

  for (int i = 0; i < 100; i++) all(die_with_it, THREADS);
  int last = pthread_mutex_lock(mutexes);
  SHOW(deaths > 100);
  if (last == EOWNERDEAD) pthread_mutex_consistent(mutexes);
  struct timespec soon;
  clock_gettime(CLOCK_MONOTONIC, &soon);
  soon.tv_nsec += soon.tv_nsec < 900000000 ? 100000000 : 0;
  SHOW(pthread_mutex_clocklock(mutexes, CLOCK_MONOTONIC, &soon));
  SHOW(pthread_mutex_unlock(mutexes));

  pthread_t threads[4];
  for (int i = 0; i < 4; i++) CHECK(!pthread_create(threads + i, NULL, i % 2 ? produce : consume, NULL));
  for (int i = 0; i < 4; i++) CHECK(!pthread_join(threads[i], NULL));
  SHOW(sum);
  SHOW(length);

  for (int i = 0; i < THREADS; i++) sem_init(ring + i, 0, 0);
  sem_post(ring);
  all(pass_on, THREADS);
  SHOW(turns);

  for (int i = 0; i < 200; i++) {
    struct gate *gate = calloc(1, sizeof *gate);
    pthread_mutex_init(&gate->mutex, NULL);
    pthread_cond_init(&gate->condition, NULL);
    for (int j = 0; j < 3; j++) CHECK(!pthread_create(threads + j, NULL, wait_at, gate));
    if (i % 4 == 0) a_moment(2);
    pthread_mutex_lock(&gate->mutex);
    gate->open = 1;
    pthread_cond_broadcast(&gate->condition);
    pthread_mutex_unlock(&gate->mutex);
    for (int j = 0; j < 3; j++) CHECK(!pthread_join(threads[j], NULL));
    CHECK(!pthread_cond_destroy(&gate->condition) && gate->open == 4);
    memset(gate, 0xff, sizeof *gate);
    free(gate);
  }
  SHOW(0);
  return 0;
}
