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

void command_run(char *line, char *reply, size_t size) {
  char *rest = strchr(line, ' ');
  const char *argument = rest ? rest + 1 : "";
  if (rest)
    *rest = '\0';
  if (strcmp(line, "HIT") == 0 && *argument)
    count(argument, 1, reply, size);
  else if (strcmp(line, "GET") == 0 && *argument)
    count(argument, 0, reply, size);
  else if (strcmp(line, "STATS") == 0)
    stats(reply, size);
  else if (strcmp(line, "QUIT") == 0)
    snprintf(reply, size, "BYE");
  else
    snprintf(reply, size, "ERROR unknown command");
}
