/* A connect that waits: for room in the backlog of a local socket, and for the outcome over TCP. */
#include "../case.h"

static int listener;

static void *accept_late(void *nothing) {
  a_moment(150);
  for (int i = 0; i < 3; i++) {
    long fd;
    while ((fd = syscall(SYS_accept, listener, NULL, NULL)) < 0 && errno == EINTR) {
    }
    CHECK(fd >= 0);
  }
  return nothing;
}

int run(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  socklen_t size = sizeof address;
  listener = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK(!bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)) && !listen(listener, 0));
  getsockname(listener, (struct sockaddr *)&address, &size);
  pthread_t thread;
  pthread_create(&thread, NULL, accept_late, NULL);
  for (int i = 0; i < 3; i++) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    SHOW(connect(fd, (struct sockaddr *)&address, size));
    SHOW(connect(fd, (struct sockaddr *)&address, size));
  }
  pthread_join(thread, NULL);

  /* A full backlog drops the handshake; Linux tries again after a second. */
  struct sockaddr_in internet = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  listener = socket(AF_INET, SOCK_STREAM, 0);
  size = sizeof internet;
  CHECK(!bind(listener, (struct sockaddr *)&internet, size) && !listen(listener, 0));
  getsockname(listener, (struct sockaddr *)&internet, &size);
  int first = socket(AF_INET, SOCK_STREAM, 0), second = socket(AF_INET, SOCK_STREAM, 0),
      third = socket(AF_INET, SOCK_STREAM, 0);
  SHOW(connect(first, (struct sockaddr *)&internet, size));
  struct timeval limit = {0, 300000};
  setsockopt(third, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  double begin = seconds();
  SHOW(connect(third, (struct sockaddr *)&internet, size));
  printf("%s\n", seconds() - begin > 0.25 && seconds() - begin < 0.9 ? "in time" : "not in time");
  pthread_create(&thread, NULL, accept_late, NULL);
  SHOW(connect(second, (struct sockaddr *)&internet, size));
  SHOW(connect(second, (struct sockaddr *)&internet, size));
  SHOW(connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&internet, size));
  pthread_join(thread, NULL);
  return 0;
}
