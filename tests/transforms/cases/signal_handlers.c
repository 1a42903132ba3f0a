/* Signal handlers with points, on the normal and on an alternate stack, over code with points and over system calls. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
static volatile sig_atomic_t handled, deep; static int n; static volatile int in_alternate; static char *alternate;
static int id(int x) { n++; return x; }
static int recurse(int k) { int here[2] = {k, id(k)}; return k ? recurse(k - 1) + here[1] : 0; }
static void simple(int number) { int array[3] = {number, id(1), id(2)}; for (int i = 0; i < 3; i++) id(array[i]); handled++; }
static void detailed(int number, siginfo_t *info, void *context) { int local = id(number), *p = &local; deep += recurse(5); char here; if (alternate && &here > alternate && &here < alternate + 65536) in_alternate += id(1); handled += *p == number && info->si_signo == number && context != NULL; }
static void nests(int number) { static volatile int level; if (level++ < 2) raise(number); id(level); level--; handled++; }
static void install(int number, void (*simple_one)(int), void (*one)(int, siginfo_t *, void *), int flags) {
  struct sigaction action; memset(&action, 0, sizeof action); sigemptyset(&action.sa_mask); action.sa_flags = flags | (one ? SA_SIGINFO : 0);
  if (one) action.sa_sigaction = one; else action.sa_handler = simple_one; sigaction(number, &action, NULL);
}
static int interrupted(int rounds) { int s = 0, array[4] = {1, 2, 3, 4}, *p = array; for (int i = 0; i < rounds; i++) { s += id(array[i & 3]) + *p; if (i % 5 == 0) raise(SIGUSR1); if (i % 7 == 0) kill(getpid(), SIGUSR2); p = &array[id(i) & 3]; } return s; }
static void *thread(void *argument) { pthread_kill(pthread_self(), SIGUSR1); *(int *)argument = interrupted(10); return NULL; }
int main(void) {
  signal(SIGUSR1, simple); install(SIGUSR2, NULL, detailed, SA_RESTART); printf("%d ", interrupted(20));
  printf("%d %d %d\n", handled, deep, in_alternate);
  alternate = malloc(65536); stack_t stack = {.ss_sp = alternate, .ss_size = 65536}; sigaltstack(&stack, NULL);
  install(SIGUSR2, NULL, detailed, SA_ONSTACK); handled = 0; printf("%d ", interrupted(20)); printf("%d %d %d\n", handled, deep, in_alternate);
  install(SIGTERM, nests, NULL, SA_NODEFER | SA_ONSTACK); handled = 0; raise(SIGTERM); id(1); raise(SIGTERM); printf("%d ", handled);
  install(SIGALRM, simple, NULL, 0); handled = 0; struct itimerval timer = {{0, 0}, {0, 20000}}; setitimer(ITIMER_REAL, &timer, NULL); long turns = 0; while (!handled) turns += id(1); printf("%d ", handled);
  install(SIGALRM, simple, NULL, SA_RESTART); handled = 0; int pipes[2]; if (pipe(pipes)) return 1; timer.it_value.tv_usec = 10000; setitimer(ITIMER_REAL, &timer, NULL); sigset_t none; sigemptyset(&none); while (!handled) { sigset_t mask, old; sigemptyset(&mask); sigaddset(&mask, SIGALRM); sigprocmask(SIG_BLOCK, &mask, &old); if (!handled) sigsuspend(&old); sigprocmask(SIG_SETMASK, &old, NULL); id(1); }
  printf("%d ", handled); int value = 0; pthread_t t; handled = 0; pthread_create(&t, NULL, thread, &value); pthread_join(t, NULL); printf("%d %d\n", value, handled);
  return 0;
}
