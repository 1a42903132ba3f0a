/*
 * Origin and clients of an HTTP proxy in one process, fast enough not to be what is measured.
 *
 *     proxyload PORT CLIENTS REQUESTS BYTES
 *
 * Each client is a thread that asks the proxy for a body of BYTES bytes, REQUESTS times, with a connection for each.
 * Prints the seconds that all of them took. Ends with 1 if an answer is wrong.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int proxy, requests;
static size_t size;
static char *body;
static struct sockaddr_in origin = {.sin_family = AF_INET};

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void send_all(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
    if (n <= 0)
      return;
    bytes += n;
    length -= (size_t)n;
  }
}

static void *answer(void *argument) {
  int fd = (int)(intptr_t)argument;
  char request[4096];
  size_t got = 0;
  while (got < sizeof request - 1) {
    ssize_t n = recv(fd, request + got, sizeof request - 1 - got, 0);
    if (n <= 0)
      break;
    got += (size_t)n;
    request[got] = '\0';
    if (strstr(request, "\r\n\r\n")) {
      char head[200];
      int length = snprintf(head, sizeof head, "HTTP/1.0 200 OK\r\nContent-Length: %zu\r\n\r\n", size);
      send_all(fd, head, (size_t)length);
      send_all(fd, body, size);
      break;
    }
  }
  close(fd);
  return NULL;
}

static void *serve(void *argument) {
  int listener = (int)(intptr_t)argument;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  for (;;) {
    pthread_t thread;
    int fd = accept(listener, NULL, NULL);
    if (fd < 0 || pthread_create(&thread, &attributes, answer, (void *)(intptr_t)fd) != 0)
      fail("origin");
  }
  return NULL;
}

static void *ask(void *unused) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)proxy)};
  char request[200];
  char *buffer = malloc(1 << 16);
  int length = snprintf(request, sizeof request, "GET http://127.0.0.1:%d/ HTTP/1.0\r\n\r\n", ntohs(origin.sin_port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (int i = 0; i < requests; i++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    size_t got = 0;
    char first[64] = "";
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
      fail("connect");
    send_all(fd, request, (size_t)length);
    for (;;) {
      ssize_t n = recv(fd, buffer, 1 << 16, 0);
      if (n <= 0)
        break;
      if (got == 0)
        memcpy(first, buffer, (size_t)n < sizeof first - 1 ? (size_t)n : sizeof first - 1);
      got += (size_t)n;
    }
    if (!strstr(first, " 200 ") || got < size) {
      fprintf(stderr, "proxyload: wrong answer, %zu bytes: %s\n", got, first);
      exit(1);
    }
    close(fd);
  }
  free(buffer);
  return unused;
}

int main(int argc, char **argv) {
  socklen_t length = sizeof origin;
  pthread_t server;
  if (argc != 5) {
    fprintf(stderr, "usage: proxyload PORT CLIENTS REQUESTS BYTES\n");
    return 2;
  }
  proxy = atoi(argv[1]);
  requests = atoi(argv[3]);
  size = (size_t)atol(argv[4]);
  int clients = atoi(argv[2]);
  body = calloc(1, size + 1);
  memset(body, 'x', size);
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  origin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, (struct sockaddr *)&origin, sizeof origin) < 0 || listen(listener, 512) < 0 ||
      getsockname(listener, (struct sockaddr *)&origin, &length) < 0)
    fail("listen");
  pthread_create(&server, NULL, serve, (void *)(intptr_t)listener);
  pthread_t *threads = calloc((size_t)clients, sizeof *threads);
  double begin = now();
  for (int i = 0; i < clients; i++)
    if (pthread_create(&threads[i], NULL, ask, NULL) != 0)
      fail("thread");
  for (int i = 0; i < clients; i++)
    pthread_join(threads[i], NULL);
  printf("%.6f\n", now() - begin);
  free(threads);
  return 0;
}
