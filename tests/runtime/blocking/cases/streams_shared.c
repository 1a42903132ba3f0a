/* Two threads read one stream; handlers end a read of a stream or do not. */
#include "../case.h"

static FILE *stream;
static long lines, bytes;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_t target;
static int ends[2];
static volatile sig_atomic_t handled;

static void *read_lines(void *argument) {
  char line[100];
  while (fgets(line, sizeof line, stream)) {
    size_t size = strlen(line);
    CHECK(size > 1 && line[size - 1] == '\n' && line[0] == line[size - 2]); /* whole lines */
    pthread_mutex_lock(&mutex);
    lines++;
    bytes += (long)size;
    pthread_mutex_unlock(&mutex);
  }
  return argument;
}

static void on_signal(int number) {
  (void)number;
  handled++;
}

static void *disturb(void *argument) {
  a_moment(50);
  pthread_kill(target, SIGUSR1);
  a_moment(50);
  CHECK(syscall(SYS_write, ends[1], "line\n", 5) == 5);
  return argument;
}

int run(void) {
  pthread_t threads[3];
  CHECK(!pipe(ends));
  pid_t child = fork();
  if (!child) {
    for (int i = 0; i < 3000; i++) {
      char line[80];
      memset(line, 'a' + i % 26, sizeof line);
      int size = 3 + i % 70;
      line[size - 1] = '\n';
      int half = i % 7 ? size : size / 2;
      syscall(SYS_write, ends[1], line, half);
      if (i % 50 == 0) a_moment(1);
      syscall(SYS_write, ends[1], line + half, size - half);
    }
    _exit(0);
  }
  close(ends[1]);
  stream = fdopen(ends[0], "r");
  for (int i = 0; i < 3; i++) CHECK(!pthread_create(threads + i, NULL, read_lines, NULL));
  for (int i = 0; i < 3; i++) CHECK(!pthread_join(threads[i], NULL));
  CHECK(waitpid(child, NULL, 0) == child);
  SHOW(lines);
  SHOW(bytes);
  fclose(stream);

  CHECK(!pipe(ends));
  stream = fdopen(ends[0], "r");
  target = pthread_self();
  for (int restart = 0; restart < 2; restart++) {
    char line[20];
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = restart ? SA_RESTART : 0};
    sigaction(SIGUSR1, &action, NULL);
    CHECK(!pthread_create(threads, NULL, disturb, NULL));
    SHOW(fgets(line, sizeof line, stream) != NULL);
    SHOW(ferror(stream) != 0);
    CHECK(!pthread_join(threads[0], NULL));
    clearerr(stream);
    if (!restart) SHOW(fgets(line, sizeof line, stream) != NULL);
    SHOW(strcmp(line, "line\n"));
    SHOW(handled);
  }
  return 0;
}
