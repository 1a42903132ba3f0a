/*
 * A word to the coordinator.
 */
#define _GNU_SOURCE
#include <sys/socket.h>
#include <sys/un.h>

#include "runtime.h"

/* "upstare-<pid>-<16 hex digits>" in the abstract name space. Raw system calls: handlers use it too. */
int ups_call_coordinator(uint64_t nonce) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char *at = address.sun_path + 1;
  char digits[16];
  int n = 0;
  memcpy(at, "upstare-", 8);
  at += 8;
  for (unsigned pid = (unsigned)syscall(SYS_getpid); pid != 0; pid /= 10) digits[n++] = (char)('0' + pid % 10);
  while (n > 0) *at++ = digits[--n];
  *at++ = '-';
  for (int i = 60; i >= 0; i -= 4) *at++ = "0123456789abcdef"[nonce >> i & 15];
  int fd = (int)syscall(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (syscall(SYS_connect, fd, &address, (socklen_t)(at - (char *)&address)) != 0) {
    syscall(SYS_close, fd);
    return -1;
  }
  return fd;
}

bool ups_send_all(int fd, const void *bytes, size_t count) {
  for (const char *at = bytes; count > 0;) {
    ssize_t sent = syscall(SYS_sendto, fd, at, count, MSG_NOSIGNAL, NULL, 0);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    at += sent;
    count -= (size_t)sent;
  }
  return true;
}

void ups_say(uint64_t nonce, const char *begin, const char *end) {
  int fd = ups_call_coordinator(nonce);
  if (fd < 0) return;
  uint32_t length = (uint32_t)(end - begin);
  if (ups_send_all(fd, &length, sizeof length)) ups_send_all(fd, begin, length);
  syscall(SYS_close, fd);
}
