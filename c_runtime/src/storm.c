/*
 * The storm: UPSTARE_STORM=N in the environment makes every thread unroll and rebuild its stack at every N-th point that
 * it reaches, into the same version. Each thread by itself, while the others run. For tests: a program must behave as
 * without it.
 *
 * UPSTARE_STORM_LOG=FILE: how many points, storms and incomplete stacks there were is appended to it at the end.
 */
#define _GNU_SOURCE
#include "runtime.h"

uint32_t ups_storm_every;
struct ups_storm_counts ups_storm_counts;

static const char *log_path;

static unsigned long number(const char *text) {
  unsigned long value = 0;
  while (*text >= '0' && *text <= '9' && value < 1000000000ul) value = value * 10 + (unsigned long)(*text++ - '0');
  return *text == 0 ? value : 0;
}

static void write_log(void) {
  char line[160];
  int fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) return;
  int length = snprintf(line, sizeof line, "pid %d points %llu storms %llu incomplete %llu\n", (int)getpid(),
                        (unsigned long long)atomic_load(&ups_storm_counts.points),
                        (unsigned long long)atomic_load(&ups_storm_counts.storms),
                        (unsigned long long)atomic_load(&ups_storm_counts.incomplete));
  ssize_t ignored = write(fd, line, (size_t)length);
  (void)ignored;
  close(fd);
}

void ups_storm_init(void) {
  const char *every = getenv("UPSTARE_STORM");
  if (every == NULL || number(every) == 0) return;
  struct ups_image *self = atomic_load(&ups_current);
  if (!ups_image_read_self(self)) return;
  log_path = getenv("UPSTARE_STORM_LOG");
  if (log_path != NULL) atexit(write_log);
  ups_storm_every = (uint32_t)number(every);
  upstare_flag = 1;
  ups_points_arm(self, true);
}

void ups_storm_child(void) {
  atomic_store(&ups_storm_counts.points, 0);
  atomic_store(&ups_storm_counts.storms, 0);
  atomic_store(&ups_storm_counts.incomplete, 0);
}
