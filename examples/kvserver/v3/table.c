#include "kv.h"

#include <stdio.h>
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

/* A new entry without a value at the end of its chain; the lock is held. */
static struct entry *insert(const char *key) {
  struct entry *entry = calloc(1, sizeof *entry);
  if (!entry)
    return NULL;
  entry->key = strdup(key);
  if (!entry->key) {
    free(entry);
    return NULL;
  }
  *find(key) = entry;
  count++;
  return entry;
}

bool table_set(const char *key, const char *value, time_t expires) {
  char *copy = strdup(value);
  if (!copy)
    return false;
  pthread_mutex_lock(&lock);
  struct entry *entry = *find(key);
  if (!entry)
    entry = insert(key);
  if (entry) {
    free(entry->value);
    entry->value = copy;
    entry->expires = expires;
  } else {
    free(copy);
  }
  pthread_mutex_unlock(&lock);
  return entry != NULL;
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

/* Adds to the number that the key holds; a key that is not there holds 0. False: its value is not a number. */
bool table_add(const char *key, long long amount, long long *sum) {
  char text[32];
  char *end = NULL;
  pthread_mutex_lock(&lock);
  struct entry *entry = *find(key);
  long long old = entry ? strtoll(entry->value, &end, 10) : 0;
  bool number = !entry || (end != entry->value && *end == '\0');
  if (number) {
    snprintf(text, sizeof text, "%lld", old + amount);
    char *copy = strdup(text);
    if (copy && (entry || (entry = insert(key)))) {
      free(entry->value);
      entry->value = copy;
      *sum = old + amount;
    } else {
      free(copy);
      number = false;
    }
  }
  pthread_mutex_unlock(&lock);
  return number;
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
