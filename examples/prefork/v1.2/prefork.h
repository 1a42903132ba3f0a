/*
 * A small pre-forking server: a master, and workers that count things in memory that all of them share.
 *
 *     HIT name | GET name | RESET name | TOP | SELF | STATS | QUIT
 *
 * Every reply begins with the server's version and the worker that gives it: "PF/1.2 4711 COUNT 7".
 */
#ifndef PREFORK_H
#define PREFORK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PF_VERSION "1.2"
#define WORKERS_MOST 256
#define COUNTERS_MOST 64
#define NAME_BYTES 24
#define LINE_BYTES 256

/* board.c: what all processes see, in a mapping that the master makes before it forks. */
struct worker {
  pid_t pid;
  uint32_t connections;
  uint64_t requests;
};

struct counter {
  char name[NAME_BYTES];
  uint64_t count;
};

struct board {
  pthread_mutex_t lock; /* robust: whoever dies while holding it leaves it usable */
  uint32_t workers;
  uint32_t respawned;
  struct worker worker[WORKERS_MOST];
  struct counter counter[COUNTERS_MOST];
};

extern struct board *board;

bool board_make(unsigned workers);
void board_lock(void);
void board_unlock(void);
struct counter *board_counter(const char *name, bool make); /* under the lock */

/* commands.c: answers one request; the reply has no newline. */
void command_run(char *line, char *reply, size_t size);

/* worker.c: serves the connections that come to a listening socket, until it is told to stop. */
/* What a worker alone knows. */
struct totals {
  uint64_t accepted;
  uint64_t requests;
  uint64_t rounds; /* of its loop */
  uint64_t bytes;  /* read and sent */
  uint64_t dropped;
};

extern unsigned worker_number;
void worker_totals(struct totals *copy);
int worker_run(unsigned number, int listener);

/* master.c: makes workers, and new ones for those that die, until it is told to stop. */
int master_run(const int *listeners, unsigned count);

#endif
