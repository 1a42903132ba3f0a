#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void answer(char byte) {
  printf("new %c\n", byte);
}

int main(void) {
  int pair[2];
  char byte;
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("ready\n");
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
    return 1;
  while (recv(pair[0], &byte, 1, 0) == 1)
    answer(byte);
  return 0;
}
