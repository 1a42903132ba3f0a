/*
 * A small key-value server: a line of text in, a line of text out.
 *
 *     SET key value | SETEX key seconds value | GET key | DEL key | INCR key amount |
 *     COUNT | STATS | SESSION | VERSION | QUIT
 *
 * Every reply begins with the protocol name and the server's version, as HTTP's does: "KV/3 VALUE green".
 */
#ifndef KV_H
#define KV_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define KV_VERSION "3"
#define LINE_MAX_BYTES 4096

/* stats.c: what the server did, under stats_lock. */
struct stats {
  uint64_t connections;
  uint64_t requests;
  uint64_t hits;
  uint64_t misses;
  uint64_t expired;
  uint64_t bytes_in;
  uint64_t bytes_out;
};

extern struct stats stats;
extern pthread_mutex_t stats_lock;

void stats_connection(int change);
void stats_request(void);
void stats_traffic(size_t in, size_t out);
void stats_lookup(bool hit);
void stats_expired(unsigned keys);
int stats_open(void);

/* table.c: the keys. Every function takes the table's lock. */
bool table_set(const char *key, const char *value, time_t expires);
bool table_get(const char *key, char *value, size_t size);
bool table_delete(const char *key);
bool table_add(const char *key, long long amount, long long *sum);
size_t table_count(void);
unsigned table_expire(time_t now);

/* journal.c: a thread that writes every change to a file. */
int journal_start(const char *path);
void journal_add(const char *verb, const char *key, const char *value);

/* commands.c: answers one request; writes the reply without a newline. */
struct reply {
  char text[LINE_MAX_BYTES + 64];
  size_t length;
};

void reply_format(struct reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));
void command_run(char *line, struct reply *reply);

/* session.c: a thread for each connection. */
int session_start(int fd);

#endif
