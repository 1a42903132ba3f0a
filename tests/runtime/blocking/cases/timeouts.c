/* Waits last as long as they were asked to, however often they are stopped meanwhile. */
#include "../case.h"

static void took(const char *what, double begin, double expected) {
  double length = seconds() - begin;
  bool right = length >= expected - 0.0005 && length < expected + 0.5;
  printf("%s: %s\n", what, right ? "in time" : "not in time");
  if (!right) printf("%.4f instead of %.4f\n", length, expected);
}

#define TOOK(expected, call)      \
  do {                            \
    double begin_ = seconds();    \
    SHOW_AS(#call, call);                   \
    took(#call, begin_, expected); \
  } while (0)

static struct timespec in(clockid_t clock, long ms) {
  struct timespec time;
  clock_gettime(clock, &time);
  time.tv_nsec += ms * 1000000;
  time.tv_sec += time.tv_nsec / 1000000000;
  time.tv_nsec %= 1000000000;
  return time;
}

int run(void) {
  struct timespec length = {0, 150000000}, until;
  struct timeval tenth = {0, 150000};
  int pair[2], epoll = epoll_create1(0);
  struct epoll_event event;
  char buffer[8];
  CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  TOOK(0.15, poll(NULL, 0, 150));
  struct pollfd descriptor = {.fd = pair[0], .events = POLLIN};
  TOOK(0.15, poll(&descriptor, 1, 150));
  TOOK(0.15, ppoll(NULL, 0, &length, NULL));
  TOOK(0.15, select(0, NULL, NULL, NULL, &tenth));
  SHOW(tenth.tv_sec + tenth.tv_usec);
  TOOK(0.15, pselect(0, NULL, NULL, NULL, &length, NULL));
  TOOK(0.15, epoll_wait(epoll, &event, 1, 150));
  TOOK(0.15, epoll_pwait(epoll, &event, 1, 150, NULL));
  TOOK(0.15, nanosleep(&length, NULL));
  TOOK(0.15, clock_nanosleep(CLOCK_MONOTONIC, 0, &length, NULL));
  until = in(CLOCK_MONOTONIC, 150);
  TOOK(0.15, clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL));
  until = in(CLOCK_REALTIME, 150);
  TOOK(0.15, clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL));
  TOOK(0.15, usleep(150000));
  TOOK(1, sleep(1));
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  TOOK(0.15, sigtimedwait(&set, NULL, &length));

  struct timeval limit = {0, 150000};
  setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  TOOK(0.15, recv(pair[0], buffer, 8, 0));
  TOOK(0.15, read(pair[0], buffer, 8));
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  listen(listener, 1);
  TOOK(0.15, accept(listener, NULL, NULL));

  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  until = in(CLOCK_REALTIME, 150);
  TOOK(0.15, pthread_mutex_timedlock(&mutex, &until));
  until = in(CLOCK_MONOTONIC, 150);
  TOOK(0.15, pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &until));
  pthread_cond_t condition;
  pthread_cond_init(&condition, NULL);
  until = in(CLOCK_REALTIME, 150);
  TOOK(0.15, pthread_cond_timedwait(&condition, &mutex, &until));
  until = in(CLOCK_MONOTONIC, 150);
  TOOK(0.15, pthread_cond_clockwait(&condition, &mutex, CLOCK_MONOTONIC, &until));
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_t monotonic;
  pthread_cond_init(&monotonic, &attributes);
  until = in(CLOCK_MONOTONIC, 150);
  TOOK(0.15, pthread_cond_timedwait(&monotonic, &mutex, &until));
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  until = in(CLOCK_REALTIME, 150);
  TOOK(0.15, sem_timedwait(&semaphore, &until));
  until = in(CLOCK_MONOTONIC, 150);
  TOOK(0.15, sem_clockwait(&semaphore, CLOCK_MONOTONIC, &until));
  return 0;
}
