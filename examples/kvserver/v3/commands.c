#include "kv.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct command {
  const char *name;
  int arguments; /* words; the last one takes the rest of the line */
  void (*run)(char **words, struct reply *reply);
};

void reply_format(struct reply *reply, const char *format, ...) {
  va_list arguments;
  int head = snprintf(reply->text, sizeof reply->text, "KV/%s ", KV_VERSION);
  va_start(arguments, format);
  int n = vsnprintf(reply->text + head, sizeof reply->text - (size_t)head, format, arguments);
  va_end(arguments);
  reply->length = (size_t)head + (size_t)n;
  if (reply->length >= sizeof reply->text)
    reply->length = sizeof reply->text - 1;
}

static void run_set(char **words, struct reply *reply) {
  if (!table_set(words[0], words[1], 0)) {
    reply_format(reply, "ERROR out of memory");
    return;
  }
  journal_add("SET", words[0], words[1]);
  reply_format(reply, "OK");
}

static void run_setex(char **words, struct reply *reply) {
  long seconds = strtol(words[1], NULL, 10);
  if (seconds <= 0) {
    reply_format(reply, "ERROR seconds must be positive");
    return;
  }
  if (!table_set(words[0], words[2], time(NULL) + seconds)) {
    reply_format(reply, "ERROR out of memory");
    return;
  }
  journal_add("SET", words[0], words[2]);
  reply_format(reply, "OK");
}

static void run_get(char **words, struct reply *reply) {
  char value[LINE_MAX_BYTES];
  bool hit = table_get(words[0], value, sizeof value);
  if (hit)
    reply_format(reply, "VALUE %s", value);
  else
    reply_format(reply, "NONE");
  stats_lookup(hit);
}

static void run_del(char **words, struct reply *reply) {
  if (!table_delete(words[0])) {
    reply_format(reply, "NONE");
    return;
  }
  journal_add("DEL", words[0], "");
  reply_format(reply, "OK");
}

static void run_incr(char **words, struct reply *reply) {
  char text[32];
  long long sum;
  if (!table_add(words[0], strtoll(words[1], NULL, 10), &sum)) {
    reply_format(reply, "ERROR not a number");
    return;
  }
  snprintf(text, sizeof text, "%lld", sum);
  journal_add("SET", words[0], text);
  reply_format(reply, "VALUE %lld", sum);
}

static void run_count(char **words, struct reply *reply) {
  (void)words;
  reply_format(reply, "COUNT %zu", table_count());
}

static void run_stats(char **words, struct reply *reply) {
  (void)words;
  int open = stats_open();
  size_t keys = table_count();
  pthread_mutex_lock(&stats_lock);
  reply_format(reply,
               "STATS open=%d keys=%zu connections=%" PRIu64 " requests=%" PRIu64 " expired=%" PRIu64 " hits=%" PRIu64
               " misses=%" PRIu64 " in=%" PRIu64 " out=%" PRIu64,
               open, keys, stats.connections, stats.requests, stats.expired, stats.hits, stats.misses, stats.bytes_in,
               stats.bytes_out);
  pthread_mutex_unlock(&stats_lock);
}

static void run_version(char **words, struct reply *reply) {
  (void)words;
  reply_format(reply, "VERSION %s", KV_VERSION);
}

static const struct command commands[] = {
    {"SET", 2, run_set},   {"SETEX", 3, run_setex}, {"GET", 1, run_get},     {"DEL", 1, run_del},
    {"INCR", 2, run_incr}, {"COUNT", 0, run_count}, {"STATS", 0, run_stats}, {"VERSION", 0, run_version},
};

void command_run(char *line, struct reply *reply) {
  char *words[3];
  char *rest = NULL;
  char *name = strtok_r(line, " ", &rest);
  for (size_t i = 0; name && i < sizeof commands / sizeof *commands; i++) {
    const struct command *command = &commands[i];
    if (strcmp(name, command->name) != 0)
      continue;
    for (int w = 0; w < command->arguments; w++) {
      words[w] = w + 1 < command->arguments ? strtok_r(NULL, " ", &rest) : rest;
      if (!words[w] || !*words[w]) {
        reply_format(reply, "ERROR %s takes %d arguments", name, command->arguments);
        return;
      }
    }
    command->run(words, reply);
    return;
  }
  reply_format(reply, "ERROR unknown command");
}
