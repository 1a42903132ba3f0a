#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static int first[2], second[2];

/* Waits in select, then reads with readv. */
static void *select_loop(void *unused) {
  for (;;) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(first[1], &set);
    int ready = select(first[1] + 1, &set, NULL, NULL, NULL);
    char a, b;
    struct iovec parts[] = {{&a, 1}, {&b, 1}};
    if (ready != 1 || !FD_ISSET(first[1], &set) || readv(first[1], parts, 2) < 1)
      perror("select");
    printf("new select %c\n", a);
    if (writev(second[0], parts, 1) != 1)
      perror("writev");
  }
  return unused;
}

static void *epoll_loop(void *unused) {
  struct epoll_event interest = {.events = EPOLLIN, .data.u32 = 42};
  int set = epoll_create1(EPOLL_CLOEXEC);
  epoll_ctl(set, EPOLL_CTL_ADD, second[1], &interest);
  for (;;) {
    struct epoll_event got[4];
    char byte;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    int n = epoll_wait(set, got, 4, -1);
    if (n != 1 || got[0].data.u32 != 42 || recvmsg(second[1], &message, 0) != 1)
      perror("epoll");
    printf("new epoll %c\n", byte);
  }
  return unused;
}

int main(void) {
  pthread_t thread;
  char byte;
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, first) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, second) < 0)
    return 1;
  pthread_create(&thread, NULL, select_loop, NULL);
  pthread_create(&thread, NULL, epoll_loop, NULL);
  while (read(0, &byte, 1) == 1)
    if (send(first[0], &byte, 1, 0) != 1)
      perror("send");
  _exit(0);
}
