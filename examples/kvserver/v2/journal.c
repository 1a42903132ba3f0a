#include "kv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct record {
  struct record *next;
  size_t length;
  char text[];
};

static int journal = -1;
static struct record *first;
static struct record **last = &first;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER;

static struct record *take(void) {
  pthread_mutex_lock(&lock);
  while (!first)
    pthread_cond_wait(&filled, &lock);
  struct record *record = first;
  first = record->next;
  if (!first)
    last = &first;
  pthread_mutex_unlock(&lock);
  return record;
}

static void *write_records(void *unused) {
  (void)unused;
  for (;;) {
    struct record *record = take();
    size_t done = 0;
    while (done < record->length) {
      ssize_t n = write(journal, record->text + done, record->length - done);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0) {
        perror("kvserver: journal");
        break;
      }
      done += (size_t)n;
    }
    free(record);
  }
  return NULL;
}

int journal_start(const char *path) {
  pthread_t writer;
  journal = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (journal < 0)
    return -1;
  if (pthread_create(&writer, NULL, write_records, NULL) != 0)
    return -1;
  pthread_detach(writer);
  return 0;
}

void journal_add(const char *verb, const char *key, const char *value) {
  size_t size = strlen(verb) + strlen(key) + strlen(value) + 4;
  struct record *record;
  if (journal < 0)
    return;
  record = malloc(sizeof *record + size);
  if (!record)
    return;
  record->next = NULL;
  record->length = (size_t)snprintf(record->text, size, "%s %s %s\n", verb, key, value);
  pthread_mutex_lock(&lock);
  *last = record;
  last = &record->next;
  pthread_cond_signal(&filled);
  pthread_mutex_unlock(&lock);
}
