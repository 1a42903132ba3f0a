#include "kv.h"

struct stats stats;
pthread_mutex_t stats_lock = PTHREAD_MUTEX_INITIALIZER;

static int open_now;

void stats_connection(int change) {
  pthread_mutex_lock(&stats_lock);
  open_now += change;
  if (change > 0)
    stats.connections++;
  pthread_mutex_unlock(&stats_lock);
}

void stats_request(void) {
  pthread_mutex_lock(&stats_lock);
  stats.requests++;
  pthread_mutex_unlock(&stats_lock);
}

void stats_traffic(size_t in, size_t out) {
  pthread_mutex_lock(&stats_lock);
  stats.bytes_in += in;
  stats.bytes_out += out;
  pthread_mutex_unlock(&stats_lock);
}

void stats_lookup(bool hit) {
  pthread_mutex_lock(&stats_lock);
  if (hit)
    stats.hits++;
  else
    stats.misses++;
  pthread_mutex_unlock(&stats_lock);
}

void stats_expired(unsigned keys) {
  pthread_mutex_lock(&stats_lock);
  stats.expired += keys;
  pthread_mutex_unlock(&stats_lock);
}

int stats_open(void) {
  pthread_mutex_lock(&stats_lock);
  int open = open_now;
  pthread_mutex_unlock(&stats_lock);
  return open;
}
