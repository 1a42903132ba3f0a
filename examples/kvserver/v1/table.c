#include "kv.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024u

struct entry {
  struct entry *next;
  char *key;
  char *value;
  time_t expires; /* 0: never */
};

static struct entry *buckets[BUCKETS];
static size_t count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static unsigned hash(const char *key) {
  unsigned h = 2166136261u;
  for (; *key; key++)
    h = (h ^ (unsigned char)*key) * 16777619u;
  return h % BUCKETS;
}

/* The link that holds the entry of this key, or the null link at the end of its chain. */
static struct entry **find(const char *key) {
  struct entry **link = &buckets[hash(key)];
  while (*link && strcmp((*link)->key, key) != 0)
    link = &(*link)->next;
  return link;
}

static void drop(struct entry **link) {
  struct entry *entry = *link;
  *link = entry->next;
  free(entry->key);
  free(entry->value);
  free(entry);
  count--;
}

bool table_set(const char *key, const char *value, time_t expires) {
  char *copy = strdup(value);
  if (!copy)
    return false;
  pthread_mutex_lock(&lock);
  struct entry **link = find(key);
  struct entry *entry = *link;
  if (entry) {
    free(entry->value);
  } else {
    entry = calloc(1, sizeof *entry);
    char *name = strdup(key);
    if (!entry || !name) {
      pthread_mutex_unlock(&lock);
      free(entry);
      free(name);
      free(copy);
      return false;
    }
    entry->key = name;
    *link = entry;
    count++;
  }
  entry->value = copy;
  entry->expires = expires;
  pthread_mutex_unlock(&lock);
  return true;
}

bool table_get(const char *key, char *value, size_t size) {
  pthread_mutex_lock(&lock);
  struct entry *entry = *find(key);
  bool found = entry && (entry->expires == 0 || entry->expires > time(NULL));
  if (found) {
    strncpy(value, entry->value, size - 1);
    value[size - 1] = '\0';
  }
  pthread_mutex_unlock(&lock);
  return found;
}

bool table_delete(const char *key) {
  pthread_mutex_lock(&lock);
  struct entry **link = find(key);
  bool found = *link != NULL;
  if (found)
    drop(link);
  pthread_mutex_unlock(&lock);
  return found;
}

size_t table_count(void) {
  pthread_mutex_lock(&lock);
  size_t n = count;
  pthread_mutex_unlock(&lock);
  return n;
}

/* Drops what has expired; holds the lock for one bucket at a time. */
unsigned table_expire(time_t now) {
  unsigned dropped = 0;
  for (unsigned i = 0; i < BUCKETS; i++) {
    pthread_mutex_lock(&lock);
    struct entry **link = &buckets[i];
    while (*link) {
      if ((*link)->expires != 0 && (*link)->expires <= now) {
        drop(link);
        dropped++;
      } else {
        link = &(*link)->next;
      }
    }
    pthread_mutex_unlock(&lock);
  }
  return dropped;
}
