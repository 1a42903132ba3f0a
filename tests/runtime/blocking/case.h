/* What the cases share. A case prints the same lines with the plain calls and with the runtime's, in every mode. */
#ifndef TEST_CASE_H
#define TEST_CASE_H

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef PLAIN
#include "core.h"
#include "redirects.h" /* made from redirects.toml: #define read(...) TEST_CALL(upstare_read(__VA_ARGS__)) */
#endif

/* Prints the outcome of a call: its value, and errno if that is -1. */
#define SHOW(call) SHOW_AS(#call, call)
#define SHOW_AS(text, call)                                                             \
  do {                                                                                  \
    errno = 0;                                                                          \
    long value_ = (long)(call);                                                         \
    printf("%s: %ld %s\n", text, value_, value_ == -1 ? strerrorname_np(errno) : "-"); \
  } while (0)

#define CHECK(condition)                                                       \
  do                                                                           \
    if (!(condition)) {                                                        \
      printf("%s:%d: failed: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
      exit(1);                                                                 \
    }                                                                          \
  while (0)

static inline double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A moment for others to get to where they wait. Not redirected. */
static inline void a_moment(long ms) {
  struct timespec length = {ms / 1000, ms % 1000 * 1000000}, rest;
  while (syscall(SYS_nanosleep, &length, &rest) && errno == EINTR) length = rest;
}

/* Waits until the thread is asleep. */
static inline void until_asleep(pid_t tid) {
  char path[64], line[256];
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
  for (int seen = 0; seen < 3;) {
    a_moment(2);
    int fd = open(path, O_RDONLY);
    long size = syscall(SYS_read, fd, line, sizeof line - 1);
    close(fd);
    CHECK(size > 0);
    line[size] = 0;
    seen = strstr(line, ") S ") ? seen + 1 : 0;
  }
}

int run(void);

#endif
