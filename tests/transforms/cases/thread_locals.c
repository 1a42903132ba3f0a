/* Thread-local variables of every kind, in several threads that all storm. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <threads.h>
static __thread int plain = 5; _Thread_local int *pointer; extern __thread int later; thread_local double floating = 1.5; static __thread struct { int a, b; char text[8]; } record = {1, 2, "abc"};
static __thread __attribute__((tls_model("initial-exec"))) int modelled = 3; static _Thread_local int zero, array[3] = {1, 2, 3};
static int id(int x) { plain++; return x; }
static int counted(void) { static __thread int calls; static _Thread_local int *own = NULL; if (!own) own = &calls; calls += id(1); return calls + (own == &calls) * 100; }
static pthread_once_t once = PTHREAD_ONCE_INIT; static int initialised; static pthread_key_t key; static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; static int destroyed;
static void initialise(void) { for (int i = 0; i < 3; i++) initialised += id(1); }
static void destroy(void *p) { pthread_mutex_lock(&lock); destroyed += id(*(int *)p); pthread_mutex_unlock(&lock); free(p); }
struct job { int number; long result; };
static void *work(void *argument) {
  struct job *job = argument; int here = job->number; pointer = &here; pthread_once(&once, initialise);
  int *value = malloc(sizeof *value); *value = job->number; pthread_setspecific(key, value);
  for (int i = 0; i < 5; i++) { here += id(i); *pointer += 1; later += id(i); floating *= 2; record.a += id(1); record.text[0]++; modelled += i; zero += id(array[i % 3]); job->result += counted(); }
  job->result += plain + later + (long)floating + record.a + record.text[0] + modelled + zero + here + *(int *)pthread_getspecific(key);
  return job;
}
__thread int later = 7;
int main(void) {
  pthread_t thread[4]; struct job job[4]; long sum = 0; pthread_key_create(&key, destroy); pthread_once(&once, initialise);
  for (int i = 0; i < 4; i++) { job[i] = (struct job){i, 0}; pthread_create(&thread[i], NULL, work, &job[i]); }
  for (int i = 0; i < 4; i++) { void *r; pthread_join(thread[i], &r); sum += ((struct job *)r)->result * (i + 1); }
  struct job own = {9, 0}; work(&own); free(pthread_getspecific(key)); pthread_setspecific(key, NULL);
  printf("%ld %ld %d %d %d\n", sum, own.result, initialised, destroyed, plain); return 0;
}
