/*
 * The storm: UPSTARE_STORM=N in the environment makes every thread unroll and rebuild its stack at every N-th point that
 * it reaches, into the same version. Each thread by itself, while the others run. For tests: a program must behave as
 * without it.
 *
 * UPSTARE_STORM_LOG=FILE: a line is appended to it that says how many points, storms and incomplete stacks there were,
 * in the process and those that it forked. The line is kept up to date in place: processes may end by _exit or a signal,
 * in a chroot, and without any descriptor.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include "blocking.h"
#include "runtime.h"

uint32_t ups_storm_every;

static const char words[UPS_STORM_COUNTS][16] = {" points ", " storms ", " incomplete "};
enum { DIGITS = 12 };

static struct {
  _Atomic(uint64_t) counts[UPS_STORM_COUNTS];
  _Atomic(uint32_t) writing;
} *shared;                             /* by all processes forked */
static char *digits[UPS_STORM_COUNTS]; /* in the mapped line of the log */

static unsigned long number(const char *text) {
  unsigned long value = 0;
  while (*text >= '0' && *text <= '9' && value < 1000000000ul) value = value * 10 + (unsigned long)(*text++ - '0');
  return *text == 0 ? value : 0;
}

static void write_counts(void) {
  if (digits[0] == NULL || atomic_exchange(&shared->writing, 1) != 0) return; /* the next one writes ours, too */
  for (int i = 0; i < UPS_STORM_COUNTS; i++) {
    uint64_t rest = atomic_load(&shared->counts[i]);
    for (int at = DIGITS; at-- > 0; rest /= 10) digits[i][at] = (char)('0' + rest % 10);
  }
  atomic_store(&shared->writing, 0);
}

static void open_log(const char *path) {
  char line[160];
  size_t places[UPS_STORM_COUNTS];
  size_t length = (size_t)snprintf(line, sizeof line, "pid %d", (int)getpid());
  for (int i = 0; i < UPS_STORM_COUNTS; i++) {
    length += (size_t)snprintf(line + length, sizeof line - length, "%s%0*d", words[i], DIGITS, 0);
    places[i] = length - DIGITS;
  }
  line[length++] = '\n';
  int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) return;
  if (write(fd, line, length) == (ssize_t)length) {
    size_t begin = (size_t)lseek(fd, 0, SEEK_CUR) - length, before = begin % (size_t)sysconf(_SC_PAGESIZE);
    char *mapped = mmap(NULL, before + length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(begin - before));
    for (int i = 0; mapped != MAP_FAILED && i < UPS_STORM_COUNTS; i++) digits[i] = mapped + before + places[i];
  }
  close(fd);
}

static void at_end(int status, void *argument) {
  (void)status, (void)argument;
  write_counts();
}

void ups_storm_start(const char *every) {
  if (number(every) == 0) return;
  struct ups_image *self = atomic_load(&ups_current);
  if (!ups_image_read_self(self)) return;
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return;
  const char *log = getenv("UPSTARE_STORM_LOG");
  if (log != NULL) {
    open_log(log);
    on_exit(at_end, NULL); /* atexit would be code of the program's */
  }
  ups_storm_every = (uint32_t)number(every);
  ups_quick_off = ups_storm_every != 0;
  upstare_flag = 1;
  ups_points_arm(self, true);
}

void ups_storm_count(enum ups_storm_count what) {
  atomic_fetch_add_explicit(&shared->counts[what], 1, memory_order_relaxed);
  if (what != UPS_STORM_POINT) write_counts();
}
