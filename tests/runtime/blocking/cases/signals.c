/* Masks and dispositions read back as they were set; handlers get what they should. */
#include "../case.h"

static volatile int last, info_value, masked;
static volatile sig_atomic_t count;

static void simple(int number) {
  last = number;
  count++;
}

static void detailed(int number, siginfo_t *information, void *context) {
  sigset_t now;
  last = number;
  info_value = information->si_value.sival_int;
  pthread_sigmask(SIG_BLOCK, NULL, &now);
  masked = sigismember(&now, SIGUSR2) + 2 * sigismember(&now, number) + 4 * (context != NULL);
}

static unsigned long bits(const sigset_t *set) {
  unsigned long value;
  memcpy(&value, set, sizeof value);
  return value;
}

static void show(const char *what, const sigset_t *set) { printf("%s %lx\n", what, bits(set)); }

static void *elsewhere(void *argument) {
  a_moment(60);
  union sigval value = {.sival_int = 42};
  pthread_sigqueue(*(pthread_t *)argument, SIGUSR2, value);
  return NULL;
}

int run(void) {
  sigset_t set, old, mask;
  struct sigaction action, was;
  pthread_t self = pthread_self(), thread;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGTRAP);
  SHOW(sigprocmask(SIG_BLOCK, &set, &old));
  show("before", &old);
  SHOW(sigprocmask(SIG_BLOCK, NULL, &old));
  show("blocked", &old);
  sigdelset(&set, SIGUSR1);
  SHOW(pthread_sigmask(SIG_UNBLOCK, &set, &old));
  show("was", &old);
  SHOW(pthread_sigmask(SIG_SETMASK, NULL, &old));
  show("is", &old);
  SHOW(pthread_sigmask(99, &set, NULL));
  SHOW(sigprocmask(99, &set, NULL));
  SHOW(sigprocmask(SIG_SETMASK, &set, &set));
  show("swapped", &set);
  SHOW(sigprocmask(SIG_SETMASK, &set, &set));
  show("swapped", &set);
  sigemptyset(&set);
  SHOW(sigprocmask(SIG_SETMASK, &set, NULL));

  memset(&action, 0, sizeof action);
  action.sa_sigaction = detailed;
  action.sa_flags = SA_SIGINFO;
  sigaddset(&action.sa_mask, SIGUSR2);
  sigaddset(&action.sa_mask, SIGTRAP);
  SHOW(sigaction(SIGUSR1, &action, &was));
  SHOW(was.sa_handler == SIG_DFL);
  SHOW(sigaction(SIGUSR1, NULL, &was));
  SHOW(was.sa_sigaction == detailed);
  printf("%x %lx\n", (unsigned)was.sa_flags & ~0x4000000u, bits(&was.sa_mask));
  union sigval value = {.sival_int = 17};
  SHOW(sigqueue(getpid(), SIGUSR1, value));
  printf("%d %d %d\n", last, info_value, masked);
  SHOW(signal(SIGUSR1, simple) == (void (*)(int))detailed);
  SHOW(raise(SIGUSR1));
  SHOW(last);
  SHOW(sigaction(SIGUSR1, NULL, &was));
  printf("%x %lx\n", (unsigned)was.sa_flags & ~0x4000000u, bits(&was.sa_mask));
  SHOW(siginterrupt(SIGUSR1, 1));
  SHOW(sigaction(SIGUSR1, NULL, &was));
  SHOW(was.sa_handler == simple && !(was.sa_flags & SA_RESTART));
  SHOW(signal(SIGUSR1, SIG_IGN) == simple);
  SHOW(signal(SIGUSR1, simple) == SIG_IGN);
  SHOW(sigaction(SIGUSR1, NULL, &was));
  SHOW(was.sa_flags & SA_RESTART);
  SHOW(siginterrupt(SIGUSR1, 0));
  SHOW(signal(SIGUSR1, SIG_DFL) == simple);
  SHOW(signal(0, simple) == SIG_ERR);
  SHOW(signal(65, simple) == SIG_ERR);
  SHOW(signal(SIGKILL, simple) == SIG_ERR);
  SHOW(sigaction(SIGKILL, &action, NULL));
  SHOW(sigaction(65, &action, NULL));
  const int numbers[] = {-1, 0, SIGABRT, SIGCHLD, SIGKILL, 32, 33, SIGRTMIN, SIGRTMAX};
  static const int flags[] = {0, SA_RESTART, SA_NODEFER | SA_NOCLDSTOP, (int)(SA_RESETHAND | SA_ONSTACK | SA_SIGINFO)};
  for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
    for (unsigned k = 0; k < sizeof flags / sizeof *flags; k++) {
      struct sigaction other = {.sa_handler = simple, .sa_flags = flags[k]}, none = {.sa_handler = SIG_DFL};
      sigaddset(&other.sa_mask, SIGUSR1 + k);
      memset(&was, 0x55, sizeof was);
      errno = 0;
      int set_it = sigaction(numbers[i], &other, NULL), error = errno, read_it = sigaction(numbers[i], NULL, &was);
      printf("%d: %d %d %d", numbers[i], set_it, error, read_it);
      if (read_it == 0)
        printf(" %d %x %lx %d", was.sa_handler == simple, (unsigned)was.sa_flags, bits(&was.sa_mask), was.sa_restorer != NULL);
      last = 0;
      if (set_it == 0 && k != 3)
        raise(numbers[i]);
      printf(" %d", last);
      printf(" %d", sigaction(numbers[i], &none, &was));
      printf(" %d\n", read_it == 0 && (was.sa_handler == simple) == (set_it == 0));
    }
  action.sa_handler = simple;
  action.sa_flags = SA_RESETHAND;
  SHOW(sigaction(SIGUSR1, &action, NULL));
  SHOW(raise(SIGUSR1));
  SHOW(sigaction(SIGUSR1, NULL, &was));
  SHOW(was.sa_handler == SIG_DFL);

  /* A trap of the program's own. */
  action.sa_flags = 0;
  SHOW(sigaction(SIGTRAP, &action, &was));
  SHOW(was.sa_handler == SIG_DFL);
  SHOW(raise(SIGTRAP));
  SHOW(last);
  SHOW(signal(SIGTRAP, SIG_IGN) == simple);
  SHOW(signal(SIGTRAP, SIG_DFL) == SIG_IGN);

  /* Waiting for signals. */
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  SHOW(sigprocmask(SIG_BLOCK, &set, &mask));
  pthread_create(&thread, NULL, elsewhere, &self);
  int number = 0;
  SHOW(sigwait(&set, &number));
  SHOW(number);
  pthread_join(thread, NULL);
  pthread_create(&thread, NULL, elsewhere, &self);
  siginfo_t information;
  SHOW(sigwaitinfo(&set, &information));
  SHOW(information.si_value.sival_int);
  pthread_join(thread, NULL);
  pthread_kill(self, SIGUSR2);
  SHOW(sigwaitinfo(&set, &information));
  SHOW(information.si_code);
  signal(SIGUSR2, simple);
  count = 0;
  for (int i = 0; i < 4; i++) {
    pthread_create(&thread, NULL, elsewhere, &self);
    struct timespec long_time = {10, 0};
    struct epoll_event event;
    errno = 0;
    int result = i == 0   ? sigsuspend(&mask)
                 : i == 1 ? ppoll(NULL, 0, &long_time, &mask)
                 : i == 2 ? pselect(0, NULL, NULL, NULL, &long_time, &mask)
                          : epoll_pwait(epoll_create1(0), &event, 1, 10000, &mask);
    printf("%d: %d %s, handled %d\n", i, result, strerrorname_np(errno), (int)count);
    pthread_join(thread, NULL);
  }
  /* One that is pending already is as good. */
  pthread_kill(self, SIGUSR2);
  SHOW(ppoll(NULL, 0, NULL, &mask));
  SHOW(count);
  SHOW(sigprocmask(SIG_BLOCK, NULL, &old));
  show("after", &old);
  return 0;
}
