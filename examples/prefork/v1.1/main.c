#include "prefork.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* A socket of each worker's own on the same port: the kernel deals the connections out. The master keeps them all open,
 * so that connections to a worker that has died wait for the one that takes its place. */
static int listen_on(struct sockaddr_in *address) {
  socklen_t length = sizeof *address;
  int yes = 1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return -1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
  if (bind(fd, (struct sockaddr *)address, sizeof *address) < 0 || listen(fd, 128) < 0 ||
      getsockname(fd, (struct sockaddr *)address, &length) < 0) {
    close(fd);
    return -1;
  }
  return fd;
}

int main(int argc, char **argv) {
  static int listeners[WORKERS_MOST];
  struct sockaddr_in address = {.sin_family = AF_INET};
  int port = 7071, workers = 4, option;
  while ((option = getopt(argc, argv, "p:w:")) != -1) {
    if (option == 'p') {
      port = atoi(optarg);
    } else if (option == 'w') {
      workers = atoi(optarg);
    } else {
      fprintf(stderr, "usage: %s [-p PORT] [-w WORKERS]\n", argv[0]);
      return 2;
    }
  }
  if (workers < 1 || workers > WORKERS_MOST) {
    fprintf(stderr, "prefork: 1 to %d workers\n", WORKERS_MOST);
    return 2;
  }
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons((uint16_t)port);
  for (int i = 0; i < workers; i++) {
    listeners[i] = listen_on(&address);
    if (listeners[i] < 0) {
      perror("prefork: listen");
      return 1;
    }
  }
  if (!board_make((unsigned)workers)) {
    perror("prefork: mmap");
    return 1;
  }
  printf("prefork %s listens on port %d with %d workers\n", PF_VERSION, ntohs(address.sin_port), workers);
  fflush(stdout);
  return master_run(listeners, (unsigned)workers);
}
