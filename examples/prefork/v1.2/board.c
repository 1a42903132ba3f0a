#include "prefork.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

struct board *board;

bool board_make(unsigned workers) {
  pthread_mutexattr_t attributes;
  board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (board == MAP_FAILED)
    return false;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&board->lock, &attributes);
  pthread_mutexattr_destroy(&attributes);
  board->workers = workers;
  return true;
}

/* Whoever died with the lock had at most half a step to do: a counter without a name, or one count less. */
void board_lock(void) {
  if (pthread_mutex_lock(&board->lock) == EOWNERDEAD)
    pthread_mutex_consistent(&board->lock);
}

void board_unlock(void) {
  pthread_mutex_unlock(&board->lock);
}

struct counter *board_counter(const char *name, bool make) {
  for (unsigned i = 0; i < COUNTERS_MOST; i++) {
    struct counter *counter = &board->counter[i];
    if (strcmp(counter->name, name) == 0)
      return counter;
    if (counter->name[0] == '\0') {
      if (!make)
        return NULL;
      snprintf(counter->name, sizeof counter->name, "%s", name);
      return counter;
    }
  }
  return NULL;
}
