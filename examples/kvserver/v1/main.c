#include "kv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile sig_atomic_t stopping;

static void stop(int signal) {
  (void)signal;
  stopping = 1;
}

/* A thread: drops expired keys ten times a second. */
static void *expire(void *unused) {
  (void)unused;
  for (;;) {
    struct timespec pause = {.tv_sec = 0, .tv_nsec = 100 * 1000 * 1000};
    while (nanosleep(&pause, &pause) < 0 && errno == EINTR)
      ;
    unsigned dropped = table_expire(time(NULL));
    if (dropped)
      stats_expired(dropped);
  }
  return NULL;
}

static int listen_on(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  socklen_t length = sizeof address;
  int yes = 1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -1;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 128) < 0 ||
      getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
    close(fd);
    return -1;
  }
  printf("kvserver %s listens on port %d\n", KV_VERSION, ntohs(address.sin_port));
  fflush(stdout);
  return fd;
}

/* Threads other than main leave SIGTERM and SIGINT to it. */
static int start_threads(const char *journal) {
  pthread_t expirer;
  if (journal && journal_start(journal) < 0) {
    perror(journal);
    return -1;
  }
  if (pthread_create(&expirer, NULL, expire, NULL) != 0) {
    fprintf(stderr, "kvserver: cannot start a thread\n");
    return -1;
  }
  pthread_detach(expirer);
  return 0;
}

int main(int argc, char **argv) {
  struct sigaction action = {.sa_handler = stop};
  const char *journal = NULL;
  int port = 7070, option;
  while ((option = getopt(argc, argv, "p:j:")) != -1) {
    if (option == 'p') {
      port = atoi(optarg);
    } else if (option == 'j') {
      journal = optarg;
    } else {
      fprintf(stderr, "usage: %s [-p PORT] [-j JOURNAL]\n", argv[0]);
      return 2;
    }
  }
  sigset_t quiet;
  sigemptyset(&quiet);
  sigaddset(&quiet, SIGTERM);
  sigaddset(&quiet, SIGINT);
  pthread_sigmask(SIG_BLOCK, &quiet, NULL);
  signal(SIGPIPE, SIG_IGN);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  int listener = listen_on(port);
  if (listener < 0) {
    perror("kvserver: listen");
    return 1;
  }
  if (start_threads(journal) < 0)
    return 1;

  while (!stopping) {
    int yes = 1;
    pthread_sigmask(SIG_UNBLOCK, &quiet, NULL);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    pthread_sigmask(SIG_BLOCK, &quiet, NULL);
    if (fd < 0) {
      if (errno != EINTR && errno != ECONNABORTED)
        perror("kvserver: accept");
      continue;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (session_start(fd) != 0) {
      fprintf(stderr, "kvserver: cannot start a thread\n");
      close(fd);
    }
  }
  close(listener);
  printf("kvserver %s stops\n", KV_VERSION);
  return 0;
}
