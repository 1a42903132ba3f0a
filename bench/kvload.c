/*
 * Closed-loop load for the key-value server, fast enough not to be what is measured.
 *
 *     kvload PORT CONNECTIONS REQUESTS
 *
 * Each connection is a thread that sends a SET or a GET and waits for its reply, over and over, REQUESTS times. Prints
 * the seconds that all of them took. Ends with 1 if a reply is wrong.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int port, requests;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fail(const char *what) {
  fprintf(stderr, "kvload: %s\n", what);
  exit(1);
}

static void *run(void *argument) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int id = (int)(intptr_t)argument, yes = 1;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  char request[200], reply[200];
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
    fail("cannot connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  for (int i = 0; i < requests; i++) {
    int n = i % 2 == 0 ? snprintf(request, sizeof request, "SET key%d:%d value%d\n", id, i % 100, i)
                       : snprintf(request, sizeof request, "GET key%d:%d\n", id, (i - 1) % 100);
    if (send(fd, request, (size_t)n, MSG_NOSIGNAL) != n)
      fail("cannot send");
    size_t got = 0;
    do {
      ssize_t m = recv(fd, reply + got, sizeof reply - 1 - got, 0);
      if (m <= 0)
        fail("no reply");
      got += (size_t)m;
    } while (reply[got - 1] != '\n');
    reply[got] = '\0';
    char expected[64];
    snprintf(expected, sizeof expected, i % 2 == 0 ? " OK\n" : " VALUE value%d\n", i - 1);
    const char *rest = strchr(reply, ' ');
    if (!rest || strcmp(rest, expected) != 0)
      fail("wrong reply");
  }
  close(fd);
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 4)
    fail("usage: kvload PORT CONNECTIONS REQUESTS");
  port = atoi(argv[1]);
  requests = atoi(argv[3]);
  int connections = atoi(argv[2]);
  pthread_t *threads = calloc((size_t)connections, sizeof *threads);
  double begin = now();
  for (int i = 0; i < connections; i++)
    if (pthread_create(&threads[i], NULL, run, (void *)(intptr_t)i) != 0)
      fail("cannot start a thread");
  for (int i = 0; i < connections; i++)
    pthread_join(threads[i], NULL);
  printf("%.6f\n", now() - begin);
  free(threads);
  return 0;
}
