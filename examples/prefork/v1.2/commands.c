#include "prefork.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void count(const char *name, uint64_t add, char *reply, size_t size) {
  uint64_t now = 0;
  bool known = false;
  if (strlen(name) >= NAME_BYTES) {
    snprintf(reply, size, "ERROR that name is too long");
    return;
  }
  board_lock();
  struct counter *counter = board_counter(name, add > 0);
  if (counter) {
    known = true;
    now = counter->count += add;
  }
  board_unlock();
  if (known)
    snprintf(reply, size, "COUNT %" PRIu64, now);
  else
    snprintf(reply, size, add > 0 ? "ERROR there is no room for another name" : "NONE");
}

static void reset(const char *name, char *reply, size_t size) {
  board_lock();
  struct counter *counter = board_counter(name, false);
  if (counter)
    counter->count = 0;
  board_unlock();
  snprintf(reply, size, counter ? "COUNT 0" : "NONE");
}

static void stats(char *reply, size_t size) {
  uint64_t requests = 0;
  unsigned connections = 0, workers = 0;
  board_lock();
  for (unsigned i = 0; i < board->workers; i++) {
    const struct worker *worker = &board->worker[i];
    workers += worker->pid != 0;
    connections += worker->connections;
    requests += worker->requests;
  }
  unsigned respawned = board->respawned;
  board_unlock();
  snprintf(reply, size, "STATS workers=%u connections=%u requests=%" PRIu64 " respawned=%u", workers, connections,
           requests, respawned);
}

static void top(char *reply, size_t size) {
  const struct counter *highest = NULL;
  char name[NAME_BYTES];
  uint64_t count = 0;
  board_lock();
  for (unsigned i = 0; i < COUNTERS_MOST && board->counter[i].name[0] != '\0'; i++)
    if (!highest || board->counter[i].count > highest->count)
      highest = &board->counter[i];
  if (highest) {
    count = highest->count;
    memcpy(name, highest->name, sizeof name);
  }
  board_unlock();
  if (highest)
    snprintf(reply, size, "TOP %s %" PRIu64, name, count);
  else
    snprintf(reply, size, "NONE");
}

static void self(char *reply, size_t size) {
  struct totals totals;
  worker_totals(&totals);
  snprintf(reply, size, "SELF accepted=%" PRIu64 " requests=%" PRIu64 " rounds=%" PRIu64 " bytes=%" PRIu64
           " dropped=%" PRIu64, totals.accepted, totals.requests, totals.rounds, totals.bytes, totals.dropped);
}

void command_run(char *line, char *reply, size_t size) {
  char *rest = strchr(line, ' ');
  const char *argument = rest ? rest + 1 : "";
  if (rest)
    *rest = '\0';
  if (strcmp(line, "HIT") == 0 && *argument)
    count(argument, 1, reply, size);
  else if (strcmp(line, "GET") == 0 && *argument)
    count(argument, 0, reply, size);
  else if (strcmp(line, "RESET") == 0 && *argument)
    reset(argument, reply, size);
  else if (strcmp(line, "TOP") == 0)
    top(reply, size);
  else if (strcmp(line, "SELF") == 0)
    self(reply, size);
  else if (strcmp(line, "STATS") == 0)
    stats(reply, size);
  else if (strcmp(line, "QUIT") == 0)
    snprintf(reply, size, "BYE");
  else
    snprintf(reply, size, "ERROR unknown command");
}
