/* A write of everything is one write, and a MSG_WAITALL one read, though they are stopped on the way. */
#include "../case.h"

enum { SIZE = 600000, PARTS = 7 };
static char data[SIZE], got[SIZE];
static int pair[2];

/* Reads all in small pieces and slowly, so that the writer sleeps often. */
static void *drain(void *descriptor) {
  int fd = (int)(long)descriptor;
  size_t done = 0;
  while (done < SIZE) {
    long size = syscall(SYS_read, fd, got + done, SIZE - done < 9000 ? SIZE - done : 9000);
    if (size < 0 && errno == EINTR) continue;
    CHECK(size > 0);
    done += (size_t)size;
    if (done / 50000 != (done - (size_t)size) / 50000) a_moment(1);
  }
  return NULL;
}

static void *supply(void *descriptor) {
  int fd = (int)(long)descriptor;
  size_t done = 0;
  while (done < SIZE) {
    size_t piece = SIZE - done < 20000 ? SIZE - done : 20000;
    long size = syscall(SYS_write, fd, data + done, piece);
    if (size < 0 && errno == EINTR) continue;
    CHECK(size > 0);
    done += (size_t)size;
    a_moment(1);
  }
  return NULL;
}

#define ALL(partner, descriptor, call)                                           \
  do {                                                                           \
    pthread_t thread;                                                            \
    memset(got, 0, sizeof got);                                                  \
    pthread_create(&thread, NULL, partner, (void *)(long)(descriptor));          \
    SHOW_AS(#call, call);                                                                  \
    pthread_join(thread, NULL);                                                  \
    SHOW(memcmp(data, got, SIZE));                                               \
  } while (0)

static struct iovec vector[PARTS], into[PARTS];

static void cut_up(struct iovec *parts, char *from) {
  size_t done = 0;
  for (int i = 0; i < PARTS; i++) {
    size_t size = i == PARTS - 1 ? SIZE - done : (size_t)(i * 31000);
    parts[i] = (struct iovec){from + done, size};
    done += size;
  }
}

int run(void) {
  for (size_t i = 0; i < SIZE; i++) data[i] = (char)(i * 7 + i / 251);
  cut_up(vector, data);
  cut_up(into, got);
  struct msghdr out = {.msg_iov = vector, .msg_iovlen = PARTS}, in = {.msg_iov = into, .msg_iovlen = PARTS};
  struct mmsghdr several[PARTS];
  memset(several, 0, sizeof several);
  for (int i = 0; i < PARTS; i++) several[i].msg_hdr = (struct msghdr){.msg_iov = vector + i, .msg_iovlen = 1};
  several[0].msg_hdr.msg_iovlen = 0;
  int pipe_ends[2], file = fileno(tmpfile());
  CHECK(syscall(SYS_write, file, data, SIZE) == SIZE);
  CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair) && !pipe(pipe_ends));
  for (int round = 0; round < 3; round++) {
    ALL(drain, pair[0], write(pair[1], data, SIZE));
    ALL(drain, pipe_ends[0], write(pipe_ends[1], data, SIZE));
    ALL(drain, pair[0], send(pair[1], data, SIZE, 0));
    ALL(drain, pair[0], sendto(pair[1], data, SIZE, MSG_NOSIGNAL, NULL, 0));
    ALL(drain, pair[0], writev(pair[1], vector, PARTS));
    ALL(drain, pipe_ends[0], writev(pipe_ends[1], vector, PARTS));
    ALL(drain, pair[0], sendmsg(pair[1], &out, 0));
    off_t from = 0;
    ALL(drain, pair[0], sendfile(pair[1], file, &from, SIZE));
    SHOW(from);
    CHECK(!lseek(file, 0, SEEK_SET));
    ALL(drain, pair[0], sendfile(pair[1], file, NULL, SIZE + 1000));
    SHOW(lseek(file, 0, SEEK_CUR));
    ALL(drain, pair[0], sendmmsg(pair[1], several + 1, PARTS - 1, 0));
    SHOW(several[PARTS - 1].msg_len == vector[PARTS - 1].iov_len && several[1].msg_len == vector[1].iov_len);
    ALL(supply, pair[1], recv(pair[0], got, SIZE, MSG_WAITALL));
    ALL(supply, pair[1], recvmsg(pair[0], &in, MSG_WAITALL));
  }

  /* Datagrams. */
  int datagrams[2];
  CHECK(!socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams));
  char text[PARTS][8];
  struct iovec small[PARTS];
  for (int i = 0; i < PARTS; i++) {
    small[i] = (struct iovec){text[i], 8};
    several[i].msg_hdr = (struct msghdr){.msg_iov = small + i, .msg_iovlen = 1};
  }
  pid_t child = fork();
  if (!child) {
    for (int i = 0; i < PARTS; i++) {
      a_moment(20);
      syscall(SYS_write, datagrams[1], "message", i + 1);
    }
    _exit(0);
  }
  SHOW(recvmmsg(datagrams[0], several, PARTS, 0, NULL));
  for (int i = 0; i < PARTS; i++) SHOW(several[i].msg_len);
  CHECK(waitpid(child, NULL, 0) == child);

  /* Connections. */
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(!bind(listener, (struct sockaddr *)&address, length) && !listen(listener, 100));
  getsockname(listener, (struct sockaddr *)&address, &length);
  child = fork();
  if (!child) {
    for (int i = 0; i < 20; i++) {
      int fd = socket(AF_INET, SOCK_STREAM, 0);
      a_moment(5);
      if (syscall(SYS_connect, fd, &address, length)) _exit(1);
    }
    _exit(0);
  }
  int accepted = 0;
  for (int i = 0; i < 20; i++) {
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    int fd = accept(listener, (struct sockaddr *)&peer, &size);
    accepted += fd >= 0 && size == sizeof peer && peer.sin_family == AF_INET && !close(fd);
  }
  SHOW(accepted);
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  SHOW(status);
  int connected = 0;
  for (int i = 0; i < 50; i++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    connected += !connect(fd, (struct sockaddr *)&address, length);
    close(fd);
  }
  SHOW(connected);
  return 0;
}
