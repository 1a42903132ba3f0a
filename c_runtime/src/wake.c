/*
 * What only an update needs sleeps: the code in update/ is in a section of its own, which is mapped as data that are
 * only read, so that it takes no memory and nobody can run it. This is what stays awake for it: the handlers of the two
 * signals, and the two places in blocking calls at which an update can begin. The first signal of a coordinator wakes
 * the rest, for the life of the process and of those that it forks; so does a storm, at the start.
 *
 * Nothing outside of update/ may call anything in there before ups_awake() is true. It becomes true before anything
 * happens that is looked for in these places, so asking it early enough is enough.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "blocking.h"
#include "runtime.h"

#define PAGE ((uintptr_t)4096)

/* Both are in one segment (driver/link.py): the code in update/, and the resume clones of the executable. */
extern const char __start_upstare_update[] __attribute__((weak, visibility("hidden")));
extern const char __stop_upstare_update[] __attribute__((weak, visibility("hidden")));
extern const char __start_upstare_resume[] __attribute__((weak, visibility("hidden")));
extern const char __stop_upstare_resume[] __attribute__((weak, visibility("hidden")));

static _Atomic(uint32_t) awake;

bool ups_awake(void) { return atomic_load_explicit(&awake, memory_order_relaxed) != 0; }

static bool make_text(const char *from, const char *to) {
  uintptr_t begin = (uintptr_t)from & ~(PAGE - 1), end = (uintptr_t)to;
  return from == to || mprotect((void *)begin, end - begin, PROT_READ | PROT_EXEC) == 0;
}

bool ups_wake(void) {
  if (ups_awake()) return true;
  if (!make_text(__start_upstare_update, __stop_upstare_update) ||
      !make_text(__start_upstare_resume, __stop_upstare_resume))
    return false;
  ups_walk_init();
  atomic_store(&awake, 1);
  return true;
}

bool ups_in_update(uintptr_t address) {
  return address >= (uintptr_t)__start_upstare_update && address < (uintptr_t)__stop_upstare_update;
}

/* ---- A word to the coordinator ------------------------------------------------------------------------------------------ */

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

static void say_asleep(uint64_t nonce) {
  static const char text[] = "{\"ok\":false,\"kind\":\"refused\",\"reason\":\"the process may not make its own code "
                             "executable (mprotect is forbidden to it)\"}";
  ups_say(nonce, text, text + sizeof text - 1);
}

/* ---- The handlers --------------------------------------------------------------------------------------------------------- */

static void on_attention(int signal, siginfo_t *info, void *context) {
  int error = errno;
  struct ups_signalled a = {ups_self, context, 0};
  (void)signal;
  if (info->si_code == SI_QUEUE && info->si_value.sival_ptr != NULL)
    a.nonce = (uint64_t)(uintptr_t)info->si_value.sival_ptr;
  if (!ups_wake()) {
    if (a.nonce != 0) say_asleep(a.nonce);
    errno = error;
    return;
  }
  uintptr_t here = (uintptr_t)__builtin_frame_address(0);
  struct ups_thread *self = a.self;
  if (self != NULL && ups_thread_is_self(self) && ups_thread_scratch(self) &&
      !(here >= self->scratch_low && here < self->scratch_high))
    ups_call_on(self->scratch_high, ups_attend, &a, NULL, NULL);
  else
    ups_attend(&a, NULL, NULL);
  errno = error;
}

static void on_trap(int signal, siginfo_t *info, void *context) {
  int error = errno;
  if (info->si_code <= 0 || !ups_awake() || !ups_point_trapped(context, error)) ups_signals_trap(signal, info, context);
  errno = error;
}

static int handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | flags};
  ups_signals_all(&action.sa_mask); /* sigfillset would leave out those of the C library's own */
  return sigaction(signal, &action, NULL);
}

int ups_wake_init(void) {
  sigset_t open;
  if (handle(SIGTRAP, on_trap, 0) != 0) return -1;
  if (handle(UPS_SIGNAL, on_attention, SA_RESTART) != 0) return -1;
  /* Whoever executed us may have had them blocked. */
  sigemptyset(&open);
  sigaddset(&open, SIGTRAP);
  sigaddset(&open, UPS_SIGNAL);
  return pthread_sigmask(SIG_UNBLOCK, &open, NULL) == 0 ? 0 : -1;
}

/* ---- Blocking calls --------------------------------------------------------------------------------------------------------- */

bool ups_blocking_point(void) { return ups_awake() && ups_self != NULL && ups_point_at_call(ups_self); }

bool ups_blocking_stop(void) {
  struct ups_thread *self = ups_self;
  if (self == NULL) return false;
  /* Cleared before we look at what is wanted: whoever wants something later sets it again (seq_cst on both sides). */
  atomic_store(&self->attention, 0);
  self->owes_stop = false;
  return ups_awake() && ups_point_at_stop(self);
}
