/* A handler of the program's ends a wait with EINTR, or does not, exactly as the kernel has it. */
#include "../case.h"

static volatile sig_atomic_t handled;
static pthread_t target;
static pid_t target_id;
static int pipe_ends[2], pair[2], listener, epoll;
static sem_t semaphore;

static void on_signal(int number) {
  (void)number;
  handled++;
}

/* What ends the wait in the end, if the signal does not. */
static void *other(void *finish) {
  until_asleep(target_id);
  pthread_kill(target, SIGUSR1);
  while (!handled) a_moment(1);
  a_moment(20);
  ((void (*)(void))finish)();
  return NULL;
}

static void feed(void) { CHECK(syscall(SYS_write, pipe_ends[1], "x", 1) == 1); }
static void feed_pair(void) { CHECK(syscall(SYS_write, pair[1], "x", 1) == 1); }
static void post(void) { sem_post(&semaphore); }
static void call_in(void) {
  struct sockaddr_un address;
  socklen_t size = sizeof address;
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  getsockname(listener, (struct sockaddr *)&address, &size);
  CHECK(!syscall(SYS_connect, fd, &address, size));
}
static void nothing(void) {}

#define INTERRUPTED(finish, call)                                                       \
  do {                                                                                  \
    pthread_t thread;                                                                   \
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = restart ? SA_RESTART : 0}; \
    sigaction(SIGUSR1, &action, NULL);                                                  \
    handled = 0;                                                                        \
    target = pthread_self();\
    target_id = gettid();                                                            \
    pthread_create(&thread, NULL, other, (void *)(finish));                             \
    SHOW_AS(#call, call);                                                                         \
    pthread_join(thread, NULL);                                                         \
    SHOW(handled);                                                                      \
  } while (0)

static long accept_one(void) {
  int fd = accept(listener, NULL, NULL);
  return fd < 0 ? fd : close(fd);
}

static void drain(int fd) {
  char byte;
  while (recv(fd, &byte, 1, MSG_DONTWAIT) == 1) {
  }
}

int run(void) {
  char buffer[16];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  CHECK(!pipe(pipe_ends) && !socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  listener = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK(!bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)) && !listen(listener, 5));
  sem_init(&semaphore, 0, 0);
  epoll = epoll_create1(0);
  struct timespec half = {2, 0}, rest;
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, NULL, &mask);
  for (int restart = 0; restart < 2; restart++) {
    printf("SA_RESTART %d\n", restart);
    INTERRUPTED(feed, read(pipe_ends[0], buffer, 5));
    fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK);
    SHOW(read(pipe_ends[0], buffer, 5));
    fcntl(pipe_ends[0], F_SETFL, 0);
    INTERRUPTED(feed_pair, recv(pair[0], buffer, 5, 0));
    drain(pair[0]);
    INTERRUPTED(feed_pair, recv(pair[0], buffer, 1, MSG_WAITALL));
    drain(pair[0]);
    struct timeval limit = {2, 0}, unlimited = {0, 0};
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    INTERRUPTED(nothing, recv(pair[0], buffer, 5, 0)); /* never restarted */
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &unlimited, sizeof limit);
    INTERRUPTED(call_in, accept_one());
    if (!restart) CHECK(!close(accept(listener, NULL, NULL)));
    INTERRUPTED(post, sem_wait(&semaphore));
    sem_trywait(&semaphore);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 2;
    INTERRUPTED(nothing, sem_timedwait(&semaphore, &until));
    INTERRUPTED(nothing, poll(NULL, 0, 2000));
    INTERRUPTED(nothing, ppoll(NULL, 0, &half, &mask));
    struct timeval left = {3, 0};
    INTERRUPTED(nothing, select(0, NULL, NULL, NULL, &left));
    SHOW(left.tv_sec >= 1 && left.tv_sec < 3);
    INTERRUPTED(nothing, pselect(0, NULL, NULL, NULL, &half, &mask));
    struct epoll_event event;
    INTERRUPTED(nothing, epoll_wait(epoll, &event, 1, 2000));
    INTERRUPTED(nothing, epoll_pwait(epoll, &event, 1, 2000, &mask));
    INTERRUPTED(nothing, nanosleep(&half, &rest));
    SHOW(rest.tv_sec == 1);
    INTERRUPTED(nothing, clock_nanosleep(CLOCK_REALTIME, 0, &half, &rest));
    INTERRUPTED(nothing, sleep(4) > 0);
    INTERRUPTED(nothing, usleep(2000000));
    INTERRUPTED(nothing, pause());
    INTERRUPTED(nothing, sigsuspend(&mask));
    sigset_t none;
    sigemptyset(&none);
    INTERRUPTED(nothing, sigtimedwait(&none, NULL, &half));
    pid_t child = fork();
    if (!child) {
      a_moment(300);
      _exit(0);
    }
    INTERRUPTED(nothing, waitpid(child, NULL, 0) == child);
    SHOW(waitpid(child, NULL, 0) == child);
  }
  return 0;
}
