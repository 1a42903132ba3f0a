#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in address = {.sin_family = AF_INET};

/* Calls the listener once for each line of input. */
static void *call(void *unused) {
  char line[100];
  while (read(0, line, sizeof line) > 0) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
      perror("connect");
    close(fd);
  }
  exit(0);
  return unused;
}

int main(void) {
  socklen_t length = sizeof address;
  pthread_t caller;
  int calls = 0;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  setvbuf(stdout, NULL, _IOLBF, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 5) < 0 ||
      getsockname(listener, (struct sockaddr *)&address, &length) < 0)
    return 1;
  pthread_create(&caller, NULL, call, NULL);
  printf("ready\n");
  for (;;) {
    struct sockaddr_in peer = {0};
    socklen_t size = sizeof peer;
    int fd = accept(listener, (struct sockaddr *)&peer, &size);
    printf("new call %d, address of %u bytes, %s\n", ++calls, (unsigned)size,
           peer.sin_family == AF_INET && peer.sin_addr.s_addr == htonl(INADDR_LOOPBACK) ? "right" : "wrong");
    close(fd);
  }
}
