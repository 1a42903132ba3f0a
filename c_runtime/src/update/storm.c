/*
 * The storm: UPSTARE_STORM=N in the environment makes every thread unroll and rebuild its stack at every N-th point that
 * it reaches, into the same version. Each thread by itself, while the others run. For tests: a program must behave as
 * without it.
 *
 * UPSTARE_STORM_LOG=FILE: a line is appended to it that says how many points, storms and incomplete stacks there were,
 * in the process and those that it forked. The line is kept up to date in place: processes may end by _exit or a signal,
 * in a chroot, and without any descriptor.
 *
 * A program without resume clones gets its twin: the command that the link has left in the executable makes it (or finds
 * it, where it was made before), and says where it is.
 */
#define _GNU_SOURCE
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "blocking.h"
#include "proc.h"
#include "update.h"

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

/* ---- The twin ------------------------------------------------------------------------------------------------------- */

#define SECTION_MAKER ".upstare.maker"
#define WORDS_MOST 16u
#define VARIABLES_MOST 4096u
#define STORM "UPSTARE_STORM"

static void become(char *const *words, int out) {
  char *variables[VARIABLES_MOST + 1];
  size_t n = 0;
  for (char **v = environ; *v != NULL && n < VARIABLES_MOST; v++)
    if (strncmp(*v, STORM, sizeof STORM - 1) != 0) variables[n++] = *v;
  variables[n] = NULL;
  syscall(SYS_dup2, out, 1);
  syscall(SYS_execve, words[0], words, variables);
  syscall(SYS_exit_group, 127);
}

/* Runs the command; what it prints goes to `answer`. True: it ended well. */
static bool ask(char *const *words, char *answer, size_t size) {
  int ends[2], status = 0;
  size_t length = 0;
  if (syscall(SYS_pipe2, ends, O_CLOEXEC) != 0) return false;
  long child = syscall(SYS_fork); /* no handlers of the program's */
  if (child == 0) become(words, ends[1]);
  close(ends[1]);
  while (child > 0 && length + 1 < size) {
    ssize_t count = read(ends[0], answer + length, size - 1 - length);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    length += (size_t)count;
  }
  close(ends[0]);
  while (length > 0 && answer[length - 1] == '\n') length--;
  answer[length] = 0;
  while (child > 0 && syscall(SYS_wait4, child, &status, 0, NULL) < 0 && errno == EINTR) continue;
  return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 && length > 0;
}

/* Loads the twin that is there, if it is one. */
static const char *load_twin(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return "the file with its resume clones is gone";
  const char *why = ups_load_twin(fd);
  close(fd);
  return why;
}

/* The twin that was made before, in the directory that upstare/driver/cache.py chooses. If it is another one the command
 * knows it. */
static bool load_known(const char *key) {
  char path[PATH_MAX];
  const char *named = getenv("UPSTARE_CACHE"), *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  if (named != NULL && *named != 0)
    snprintf(path, sizeof path, "%s/%s", named, key);
  else if (base != NULL && *base != 0)
    snprintf(path, sizeof path, "%s/upstare/%s", base, key);
  else
    snprintf(path, sizeof path, "%s/.cache/upstare/%s", home ? home : "", key);
  return load_twin(path) == NULL;
}

static const char *find_twin(void) {
  const char *why = "the command that makes its resume clones is not in the executable";
  char *words[WORDS_MOST + 2], path[PATH_MAX];
  char program[PATH_MAX];
  unsigned n = 0;
  struct ups_elf file;
  size_t length = 0;
  ssize_t named = readlink("/proc/self/exe", program, sizeof program - 1);
  int fd = ups_proc_open("exe", O_RDONLY);
  if (fd < 0 || named <= 0 || !ups_elf_open(fd, &file)) return "the executable cannot be read";
  program[named] = 0;
  const char *text = (const char *)ups_elf_section(&file, SECTION_MAKER, &length);
  for (size_t at = 0; text != NULL && text[length - 1] == 0 && at < length && n < WORDS_MOST; at += strlen(text + at) + 1)
    words[n++] = (char *)(uintptr_t)(text + at);
  words[n] = program;
  words[n + 1] = NULL;
  if (n > 1 && load_known(words[0]))
    why = NULL;
  else if (n > 1)
    why = ask(words + 1, path, sizeof path) ? load_twin(path) : "its resume clones could not be made";
  ups_elf_close(&file);
  close(fd);
  return why;
}

static void complain(const char *why) {
  char line[256];
  int length = snprintf(line, sizeof line, "upstare: no storm: %s\n", why);
  if (write(2, line, (size_t)length) < 0) return;
}

static void at_end(int status, void *argument) {
  (void)status, (void)argument;
  write_counts();
}

void ups_storm_start(const char *every) {
  /* A program that may do more than who starts it does not let him choose what is executed, or written to. */
  if (number(every) == 0 || getauxval(AT_SECURE) != 0) return;
  struct ups_image *self = atomic_load(&ups_current);
  if (!ups_image_read_self(self)) return;
  const char *why = ups_image_clones(self) ? NULL : find_twin();
  if (why != NULL) {
    complain(why);
    return;
  }
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
  struct ups_image *twin = atomic_load(&self->twin);
  if (twin != NULL) ups_points_arm(twin, true);
}

void ups_storm_count(enum ups_storm_count what) {
  atomic_fetch_add_explicit(&shared->counts[what], 1, memory_order_relaxed);
  if (what != UPS_STORM_POINT) write_counts();
}
