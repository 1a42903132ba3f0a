/*
 * Closed-loop load for servers that answer requests, with the latency of each.
 *
 *     requestload kvserver|memcached|redis PORT CONNECTIONS REQUESTS
 *
 * Each connection is a thread that sends a request and waits for its reply, over and over, REQUESTS times: writes and
 * reads in turn. Prints the seconds that all of them took, and the 99th percentile of the latencies in microseconds.
 * Ends with 1 if a reply is wrong or late.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 512, KEYS = 100 };

struct exchange { char request[ROOM], reply[ROOM]; }; /* the reply: how it must end */

static int port, requests;
static void (*speak)(struct exchange *, int id, int i);
static double *latencies;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fail(const char *what) {
  fprintf(stderr, "requestload: %s\n", what);
  exit(1);
}

/* Even requests write a value, odd ones read it back. */
static void speak_kvserver(struct exchange *x, int id, int i) {
  int write = i & ~1, key = write % KEYS;
  if (i == write) {
    snprintf(x->request, ROOM, "SET key%d:%d value%d\n", id, key, write);
    snprintf(x->reply, ROOM, " OK\n");
  } else {
    snprintf(x->request, ROOM, "GET key%d:%d\n", id, key);
    snprintf(x->reply, ROOM, " VALUE value%d\n", write);
  }
}

static void speak_memcached(struct exchange *x, int id, int i) {
  int write = i & ~1, key = write % KEYS;
  char value[40];
  int size = snprintf(value, sizeof value, "value%d", write);
  if (i == write) {
    snprintf(x->request, ROOM, "set key%d:%d 0 0 %d\r\n%s\r\n", id, key, size, value);
    snprintf(x->reply, ROOM, "STORED\r\n");
  } else {
    snprintf(x->request, ROOM, "get key%d:%d\r\n", id, key);
    snprintf(x->reply, ROOM, "VALUE key%d:%d 0 %d\r\n%s\r\nEND\r\n", id, key, size, value);
  }
}

static void speak_redis(struct exchange *x, int id, int i) {
  int write = i & ~1, key = write % KEYS;
  char value[40];
  int size = snprintf(value, sizeof value, "value%d", write);
  const char *read[] = {"GET key%d:%d\r\n", "HGET hash%d field%d\r\n"};
  if (i == write) {
    if (write % 4 == 0)
      snprintf(x->request, ROOM, "SET key%d:%d %s\r\n", id, key, value);
    else
      snprintf(x->request, ROOM, "HSET hash%d field%d %s\r\n", id, key, value);
    snprintf(x->reply, ROOM, write % 4 == 0 ? "+OK\r\n" : "\r\n");
  } else {
    snprintf(x->request, ROOM, read[write % 4 != 0], id, key);
    snprintf(x->reply, ROOM, "$%d\r\n%s\r\n", size, value);
  }
}

static void *run(void *argument) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  struct timeval patience = {.tv_sec = 20};
  int id = (int)(intptr_t)argument, yes = 1;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) fail("cannot connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  for (int i = 0; i < requests; i++) {
    struct exchange x;
    char got[ROOM];
    size_t have = 0;
    speak(&x, id, i);
    size_t size = strlen(x.request), end = strlen(x.reply);
    double begin = now();
    if (send(fd, x.request, size, MSG_NOSIGNAL) != (ssize_t)size) fail("cannot send");
    do {
      ssize_t n = recv(fd, got + have, sizeof got - have, 0);
      if (n <= 0) fail("no such reply as was expected");
      have += (size_t)n;
    } while (have < end || memcmp(got + have - end, x.reply, end) != 0);
    latencies[(size_t)id * (size_t)requests + (size_t)i] = now() - begin;
  }
  close(fd);
  return NULL;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  if (argc != 5) fail("usage: requestload kvserver|memcached|redis PORT CONNECTIONS REQUESTS");
  speak = strcmp(argv[1], "kvserver") == 0 ? speak_kvserver : strcmp(argv[1], "redis") == 0 ? speak_redis : speak_memcached;
  port = atoi(argv[2]);
  int connections = atoi(argv[3]);
  requests = atoi(argv[4]);
  size_t count = (size_t)connections * (size_t)requests;
  pthread_t *threads = calloc((size_t)connections, sizeof *threads);
  latencies = calloc(count, sizeof *latencies);
  if (threads == NULL || latencies == NULL || count == 0) fail("no memory, or nothing to do");
  double begin = now();
  for (int i = 0; i < connections; i++)
    if (pthread_create(&threads[i], NULL, run, (void *)(intptr_t)i) != 0) fail("no more threads");
  for (int i = 0; i < connections; i++) pthread_join(threads[i], NULL);
  double seconds = now() - begin;
  qsort(latencies, count, sizeof *latencies, compare);
  printf("%.6f %.1f\n", seconds, 1e6 * latencies[count - 1 - count / 100]);
  return 0;
}
