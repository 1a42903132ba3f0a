#include "prefork.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection {
  int fd;
  size_t used;
  char input[LINE_BYTES];
};

/* What this worker alone knows. */
static struct totals {
  uint64_t accepted;
  uint64_t requests;
} totals;

unsigned worker_number;
static volatile sig_atomic_t stopping;
static int events_of = -1; /* the epoll descriptor */

static void stop(int signal) {
  (void)signal;
  stopping = 1;
}

static void add(int listener) {
  int yes = 1;
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0)
    return;
  struct connection *connection = calloc(1, sizeof *connection);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  if (!connection || epoll_ctl(events_of, EPOLL_CTL_ADD, fd, &event) < 0) {
    free(connection);
    close(fd);
    return;
  }
  connection->fd = fd;
  totals.accepted++;
  board->worker[worker_number].connections++; /* nobody else writes it */
}

static void drop(struct connection *connection) {
  close(connection->fd);
  free(connection);
  board->worker[worker_number].connections--;
}

static bool send_all(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return false;
    bytes += n;
    length -= (size_t)n;
  }
  return true;
}

/* False: the connection is at its end. */
static bool answer(struct connection *connection, char *line) {
  char text[LINE_BYTES], reply[LINE_BYTES + 64];
  bool last = strcmp(line, "QUIT") == 0;
  totals.requests++;
  board->worker[worker_number].requests = totals.requests;
  command_run(line, text, sizeof text);
  int length = snprintf(reply, sizeof reply, "PF/%s %d %s\n", PF_VERSION, (int)getpid(), text);
  return send_all(connection->fd, reply, (size_t)length) && !last;
}

/* Reads what is there and answers the lines in it. False: the connection is at its end. */
static bool serve(struct connection *connection) {
  ssize_t n = recv(connection->fd, connection->input + connection->used, sizeof connection->input - connection->used,
                   MSG_DONTWAIT);
  if (n < 0)
    return errno == EINTR || errno == EAGAIN;
  if (n == 0)
    return false;
  connection->used += (size_t)n;
  for (;;) {
    char *end = memchr(connection->input, '\n', connection->used);
    if (!end)
      return connection->used < sizeof connection->input;
    *end = '\0';
    if (!answer(connection, connection->input))
      return false;
    connection->used -= (size_t)(end + 1 - connection->input);
    memmove(connection->input, end + 1, connection->used);
  }
}

int worker_run(unsigned number, int listener) {
  struct sigaction action = {.sa_handler = stop};
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  sigset_t open, quiet;
  worker_number = number;
  sigaction(SIGTERM, &action, NULL);
  sigprocmask(SIG_BLOCK, NULL, &quiet); /* as the master has it: SIGTERM comes only while we wait */
  open = quiet;
  sigdelset(&open, SIGTERM);
  events_of = epoll_create1(EPOLL_CLOEXEC);
  if (events_of < 0 || epoll_ctl(events_of, EPOLL_CTL_ADD, listener, &event) < 0)
    return 1;
  while (!stopping) {
    struct epoll_event events[8];
    int n = epoll_pwait(events_of, events, 8, -1, &open);
    for (int i = 0; i < n; i++) {
      struct connection *connection = events[i].data.ptr;
      if (!connection)
        add(listener);
      else if (!serve(connection))
        drop(connection);
    }
  }
  return 0;
}
