#include "kv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the server knows of one connection. */
struct session {
  int fd;
  unsigned requests;
  uint64_t bytes_in;
  uint64_t bytes_out;
};

struct input {
  size_t used;
  char bytes[LINE_MAX_BYTES];
};

/* Takes one line out of the input, without its end; reads more if it has to. 0: end of the connection. */
static size_t read_line(int fd, struct input *input, char *line) {
  for (;;) {
    char *end = memchr(input->bytes, '\n', input->used);
    if (end) {
      size_t length = (size_t)(end - input->bytes);
      memcpy(line, input->bytes, length);
      line[length] = '\0';
      input->used -= length + 1;
      memmove(input->bytes, end + 1, input->used);
      if (length > 0 && line[length - 1] == '\r')
        line[--length] = '\0';
      return length + 1;
    }
    if (input->used == sizeof input->bytes)
      return 0;
    ssize_t n = recv(fd, input->bytes + input->used, sizeof input->bytes - input->used, 0);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return 0;
    input->used += (size_t)n;
  }
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

static void *serve(void *argument) {
  struct session session = {.fd = (int)(intptr_t)argument};
  struct input input = {.used = 0};
  struct reply reply;
  char line[LINE_MAX_BYTES];
  unsigned commands = 0;
  bool quit = false;

  while (!quit && read_line(session.fd, &input, line) > 0) {
    if (line[0] == '\0')
      continue; /* an empty line asks nothing */
    session.bytes_in += strlen(line) + 1;
    stats_traffic(strlen(line) + 1, 0);
    stats_request();
    session.requests++;
    quit = strcmp(line, "QUIT") == 0;
    if (quit) {
      reply_format(&reply, "BYE");
    } else if (strcmp(line, "SESSION") == 0) {
      reply_format(&reply, "SESSION fd=%d requests=%u commands=%u in=%" PRIu64 " out=%" PRIu64, session.fd,
                   session.requests, commands, session.bytes_in, session.bytes_out);
    } else {
      command_run(line, &reply);
      commands++;
    }
    reply.text[reply.length++] = '\n';
    if (!send_all(session.fd, reply.text, reply.length))
      break;
    session.bytes_out += reply.length;
    stats_traffic(0, reply.length);
  }
  stats_connection(-1);
  close(session.fd);
  return NULL;
}

int session_start(int fd) {
  pthread_t thread;
  pthread_attr_t attributes;
  int error;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, 256 * 1024);
  stats_connection(+1);
  error = pthread_create(&thread, &attributes, serve, (void *)(intptr_t)fd);
  if (error)
    stats_connection(-1);
  pthread_attr_destroy(&attributes);
  return error;
}
