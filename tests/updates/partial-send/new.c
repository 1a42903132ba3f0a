#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE (8 << 20)

static int pair[2];

/* Takes the bytes only after a byte of input, so that the sender blocks in the middle. */
static void *drain(void *unused) {
  static unsigned char buffer[1 << 16];
  for (;;) {
    char byte;
    size_t got = 0;
    int wrong = 0;
    if (read(0, &byte, 1) != 1)
      _exit(0);
    while (got < SIZE) {
      size_t left = SIZE - got;
      ssize_t n = recv(pair[1], buffer, left < sizeof buffer ? left : sizeof buffer, 0);
      if (n <= 0)
        break;
      for (ssize_t i = 0; i < n; i++)
        wrong += buffer[i] != (unsigned char)((got + (size_t)i) * 7 >> 8);
      got += (size_t)n;
    }
    printf("new got %zu, %d wrong\n", got, wrong);
  }
  return unused;
}

int main(void) {
  unsigned char *bytes = malloc(SIZE);
  pthread_t drainer;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (size_t i = 0; i < SIZE; i++)
    bytes[i] = (unsigned char)(i * 7 >> 8);
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
    return 1;
  pthread_create(&drainer, NULL, drain, NULL);
  for (;;) {
    printf("sends\n");
    ssize_t n = send(pair[0], bytes, SIZE, 0);
    printf("new sent %zd\n", n);
  }
}
