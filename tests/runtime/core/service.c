/*
 * Two versions of a program in one file (-DVERSION=1 or 2), and with -DPATCH the tables that lead from 1 to 2.
 *
 * Main answers lines on its standard input; threads count. Version 2 has a local more in main, a struct that grew, a
 * function behind a pointer that changed, and a global more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <pthread.h>
#include <unistd.h>
#include <time.h>

#include "notes.h"

int upstare_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
ssize_t upstare_read(int, void *, size_t);
int upstare_nanosleep(const struct timespec *, struct timespec *);

#define EXPORTED __attribute__((visibility("default")))

struct old_config {
  int limit;
  char name[12];
};
struct new_config {
  char name[12];
  long limit, extra;
};
#if VERSION == 1
typedef struct old_config config_type;
#define CONFIG "up$aaaaaaaaaaaa$config"
#define INITIAL {7, "configured"}
#else
typedef struct new_config config_type;
#define CONFIG "up$bbbbbbbbbbbb$config"
#define INITIAL {"configured", 7, 99}
#endif

config_type config __asm__(CONFIG) EXPORTED = INITIAL;
volatile long turns __asm__("up$cccccccccccc$turns") EXPORTED;
void *pointer __asm__("up$dddddddddddd$pointer") EXPORTED;
int calls_out __asm__("up$eeeeeeeeeeee$calls_out") EXPORTED;
#if VERSION == 2
int added __asm__("up$ffffffffffff$added") EXPORTED = 41;
#endif

/* A function behind a stable entry. */
__attribute__((used)) static int greet(void) { return 100 * VERSION; }
#ifndef PATCH
void *slot __asm__("ups$slot$greet") EXPORTED = (void *)greet;
#else
extern void *slot __asm__("ups$slot$greet");
#endif

#define FRAME_00000000000b0001 64
#if VERSION == 1
#define FRAME_00000000000b0002 144
#define BUFFER 32
#define LENGTH 24
#else
#define FRAME_00000000000b0002 160
#define BUFFER 64
#define LENGTH 24
#endif
#define FRAME_00000000000b0003 64

/* Threads that began: before that they would begin in version 1, for want of stable entries in this program. */
static volatile int begun, expected;

/* A thread: 00000000000b0001 count */
NOINLINE static void *count(void *argument) {
  long mine = (long)argument;
  __atomic_fetch_add(&begun, 1, __ATOMIC_SEQ_CST);
  for (;;) {
    turns++;
    mine += 3;
    POINT(00000000000b0001, 1, 2, 1, V(0, 0, 8), SAVE(0, mine), "nor"(mine));
  }
  return NULL;
  DUMMY(void *)
}

RESUME(void *, 00000000000b0001) {
  long mine;
  BEGIN
  LOAD(mine, 0);
  for (;;) {
    turns++;
    mine += 3;
    POINT(00000000000b0001, 1, 2, 1, V(0, 0, 8), SAVE(0, mine), "nor"(mine));
  }
  return NULL;
  DUMMY(void *)
}

/* A thread that sleeps: 00000000000b0003 doze */
NOINLINE static void *doze(void *argument) {
  struct timespec wait = {0, 20000000};
  int r;
  (void)argument;
  __atomic_fetch_add(&begun, 1, __ATOMIC_SEQ_CST);
  for (;;) {
    while (calls_out) usleep(1000);
    r = upstare_nanosleep(&wait, NULL);
    POINT(00000000000b0003, 1, 1, 2, V(0, 0, 4) O(1, 16, 16), SAVE(0, r) KEEP(16, &wait, 16), "nor"(r), "m"(wait));
    if (r != 0) break;
  }
  return NULL;
  DUMMY(void *)
}

RESUME(void *, 00000000000b0003) {
  struct timespec *wait;
  int r;
  BEGIN
  LOAD(r, 0); LOAD(wait, 16);
  if (upstare_phase == UPSTARE_AFTER) goto after;
  r = CALLEE(int);
  goto point;
  for (;;) {
    while (calls_out) usleep(1000);
    r = upstare_nanosleep(wait, NULL);
  point:
    POINT(00000000000b0003, 1, 1, 2, V(0, 0, 4) P(1, 16, 16), SAVE(0, r) KEEP(16, wait, 16), "nor"(r), "nor"(wait));
  after:
    if (r != 0) break;
  }
  return NULL;
  DUMMY(void *)
}

#if VERSION == 1
#define SAY(lines, more) \
  dprintf(1, "v1 %d %d %ld %s turns %d greet %d\n", lines, more, (long)config.limit, config.name, turns > 0 && begun >= expected, ((int (*)(void))slot)())
#else
#define SAY(lines, more) \
  dprintf(1, "v2 %d %d %ld %s turns %d greet %d extra %ld added %d\n", lines, more, config.limit, config.name, turns > 0 && begun >= expected, ((int (*)(void))slot)(), config.extra, added)
#endif

/* A pointer that bypasses the stable entries: the first version's function for ever. */
void *(*worker)(void *) __asm__("up$abababababab$worker") EXPORTED = count;

/* A library's thread: unknown to the runtime. */
static void *foreign(void *argument) {
  if (argument != NULL) count(argument);
  for (;;) usleep(100000);
  return NULL;
}

static void start_foreign(void *argument) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, foreign, argument) != 0) dprintf(1, "no thread\n");
}

/* The directory to change the root to. */
static const char *root = "";

static int obey(const char *buffer, long length) {
  if (length <= 0 || buffer[0] == 'q') return 0;
  if (buffer[0] == 'p') pointer = (char *)&config + 2;
  if (buffer[0] == 'n') pointer = NULL;
  if (buffer[0] == 'o') calls_out = 1;
  if (buffer[0] == 'i') calls_out = 0;
  if (buffer[0] == 't') {
    pthread_t thread;
    if (upstare_pthread_create(&thread, NULL, worker, NULL) != 0) return 0;
  }
  if (buffer[0] == 'f') start_foreign(NULL);
  if (buffer[0] == 'g') start_foreign((void *)1);
  if (buffer[0] == 'u' && (setgid(65534) != 0 || setuid(65534) != 0)) return 0;
  if (buffer[0] == 'c' && (chroot(root) != 0 || chdir("/") != 0)) return 0;
  return 1;
}

/* 00000000000b0002 main */
int main(int argc, char **argv) {
  char buffer[64];
  long length;
  int lines = 0, more = 0;
  pthread_t thread;
  if (argc > 3) root = argv[3];
  expected = (argc > 1 ? atoi(argv[1]) : 1) + (argc > 2 ? atoi(argv[2]) : 1);
  for (long i = 0; i < (argc > 1 ? atoi(argv[1]) : 1); i++) upstare_pthread_create(&thread, NULL, count, (void *)i);
  for (long i = 0; i < (argc > 2 ? atoi(argv[2]) : 1); i++) upstare_pthread_create(&thread, NULL, doze, NULL);
  for (;;) {
    length = upstare_read(0, buffer, sizeof buffer);
    POINT(00000000000b0002, 1, 1, 4, V(0, 0, 4) V(1, 8, 4) V(2, LENGTH, 8) O(3, BUFFER, 64),
          SAVE(0, lines) SAVE(8, more) SAVE(LENGTH, length) KEEP(BUFFER, buffer, 64),
          "nor"(lines), "nor"(more), "nor"(length), "m"(buffer));
    lines++;
    more += VERSION;
    if (!obey(buffer, length)) break;
    SAY(lines, more);
  }
  return 3;
  DUMMY(int)
}

RESUME(int, 00000000000b0002) {
  char *buffer;
  long length;
  int lines, more;
  BEGIN
  LOAD(lines, 0); LOAD(more, 8); LOAD(length, LENGTH); LOAD(buffer, BUFFER);
  if (upstare_phase == UPSTARE_AFTER) goto after;
  length = CALLEE(long);
  goto point;
  for (;;) {
    length = upstare_read(0, buffer, 64);
  point:
    POINT(00000000000b0002, 1, 1, 4, V(0, 0, 4) V(1, 8, 4) V(2, LENGTH, 8) P(3, BUFFER, 64),
          SAVE(0, lines) SAVE(8, more) SAVE(LENGTH, length) KEEP(BUFFER, buffer, 64),
          "nor"(lines), "nor"(more), "nor"(length), "nor"(buffer));
  after:
    lines++;
    more += VERSION;
    if (!obey(buffer, length)) break;
    SAY(lines, more);
  }
  return 3;
  DUMMY(int)
}

#ifdef PATCH
extern struct old_config config_1 __asm__("up$aaaaaaaaaaaa$config");
#ifdef MISSING
extern int missing __asm__("up$ffffffffffff$missing") __attribute__((weak));
int *wanted EXPORTED = &missing + 1;
#endif
extern const struct upstare_image_info upstare_image_self __attribute__((visibility("hidden")));

static int main_forward(const unsigned char *old, unsigned char *new, struct upstare_context *context) {
  (void)context;
  memcpy(new, old, 32);
  memcpy(new + 64, old + 32, 80);
  return 0;
}
static int main_backward(const unsigned char *old, unsigned char *new, struct upstare_context *context) {
  (void)context;
  memcpy(new, old, 32);
  memcpy(new + 32, old + 64, 80);
  return 0;
}
static int config_forward(const void *old, void *new, struct upstare_context *context) {
  const struct old_config *from = old;
  struct new_config *to = new;
  if (from->limit == 13) {
    upstare_refuse(context, "thirteen");
    return -1;
  }
  to->limit = from->limit;
  memcpy(to->name, from->name, sizeof to->name);
  return 0;
}
static int config_backward(const void *old, void *new, struct upstare_context *context) {
  const struct new_config *from = old;
  struct old_config *to = new;
  (void)context;
  to->limit = (int)from->limit;
  memcpy(to->name, from->name, sizeof to->name);
  return 0;
}

static const struct upstare_continuation forward_continuations[] = {
#ifndef NO_COUNT
    {0xb0001, 0xb0001, 1, 1, 64, 0, 0},
#endif
    {0xb0002, 0xb0002, 1, 1, 160, 0, main_forward},
    {0xb0003, 0xb0003, 1, 1, 64, 0, 0},
};
static const struct upstare_continuation backward_continuations[] = {
    {0xb0001, 0xb0001, 1, 1, 64, 0, 0},
    {0xb0002, 0xb0002, 1, 1, 144, 0, main_backward},
    {0xb0003, 0xb0003, 1, 1, 64, 0, 0},
};
static const struct upstare_move forward_moves[] = {
    {"config", "struct config", "struct config", &config_1, &config, sizeof(struct old_config),
     sizeof(struct new_config), config_forward},
};
static const struct upstare_move backward_moves[] = {
    {"config", "struct config", "struct config", &config, &config_1, sizeof(struct new_config),
     sizeof(struct old_config), config_backward},
};
static const struct new_config pristine = INITIAL;
static const int forty_one = 41;
static const struct upstare_initial initials[] = {{&added, &forty_one, sizeof added}, {&config, &pristine, sizeof pristine}};
static const struct upstare_entry entries[] = {{&slot, (void (*)(void))greet}};

#define LENGTH_OF(array) (sizeof(array) / sizeof *(array))
EXPORTED const struct upstare_patch upstare_patch = {
    .abi = UPSTARE_ABI,
    .from = FROM_BUILD,
    .to = TO_BUILD,
    .image = &upstare_image_self,
    .forward = {LENGTH_OF(forward_continuations), 1, 2, 1, 0, 0, 0, forward_continuations, forward_moves, initials, entries, 0, 0, 0, 0},
    .backward = {LENGTH_OF(backward_continuations), 1, 0, 0, 0, 0, 0, backward_continuations, backward_moves, 0, 0, 0, 0, 0, 0},
};
#endif
