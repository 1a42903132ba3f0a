/* What is read from a stream, however it arrives. */
#include "../case.h"

static pid_t writer;

/* A stream on which `size` bytes of text arrive in pieces. */
static FILE *arriving(const char *text, size_t size, int piece, bool socket) {
  int ends[2];
  CHECK(!(socket ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends) : pipe(ends)));
  writer = fork();
  if (!writer) {
    for (size_t done = 0; done < size; done += (size_t)piece) {
      a_moment(1);
      size_t rest = size - done < (size_t)piece ? size - done : (size_t)piece;
      CHECK(syscall(SYS_write, ends[1], text + done, rest) == (long)rest);
    }
    _exit(0);
  }
  close(ends[1]);
  FILE *stream = fdopen(ends[0], socket ? "r+" : "r");
  CHECK(stream);
  return stream;
}

static void done(FILE *stream) {
  SHOW(feof(stream) != 0);
  SHOW(ferror(stream) != 0);
  fclose(stream);
  CHECK(waitpid(writer, NULL, 0) == writer);
}

static unsigned long hash(unsigned long value, const void *data, size_t size) {
  for (size_t i = 0; i < size; i++) value = value * 31 + ((const unsigned char *)data)[i];
  return value;
}

static char big[100000];

int run(void) {
  const char *text = "first line\n\nthe third is longer than the buffer that it goes to\nno end";
  char line[20], *lines = NULL;
  size_t room = 0;
  FILE *stream;
  for (size_t i = 0; i < sizeof big; i++) big[i] = (char)(i * 13 + i / 4096);

  for (int piece = 1; piece < 30; piece += 7)
    for (int socket = 0; socket < 2; socket++) {
      stream = arriving(text, strlen(text), piece, socket);
      while (fgets(line, sizeof line, stream)) printf("fgets [%s]\n", line);
      SHOW(fgets(line, sizeof line, stream) != NULL);
      done(stream);
      stream = arriving(text, strlen(text), piece, socket);
      long size;
      while ((size = getline(&lines, &room, stream)) >= 0) printf("getline %ld [%s]\n", size, lines);
      done(stream);
    }
  stream = arriving(text, strlen(text), 3, false);
  SHOW(getdelim(&lines, &room, 'o', stream));
  SHOW(getc(stream));
  SHOW(ungetc('Q', stream));
  SHOW(ungetc('R', stream));
  SHOW(fgetc(stream));
  SHOW(getc_unlocked(stream));
  SHOW(fgetc_unlocked(stream));
  SHOW(fgets(line, 1, stream) == line && !*line);
  SHOW(fgets(line, 0, stream) == NULL);
  int characters = 0;
  while (getc(stream) != EOF) characters++;
  SHOW(characters);
  SHOW(getc(stream));
  clearerr(stream);
  SHOW(getc(stream));
  done(stream);

  static char in[sizeof big];
  for (int piece = 1000; piece < 30000; piece *= 3) {
    stream = arriving(big, sizeof big, piece, piece % 2);
    SHOW(fread(in, 1, 10, stream));
    SHOW(fread(in + 10, 7, 1000, stream));
    SHOW(fread(in + 7010, 1, 1, stream));
    SHOW(fread(in + 7011, 1, sizeof in - 7011 - 100, stream));
    SHOW(ftell(stream));
    SHOW(fread(in + sizeof in - 100, 200, 1, stream));
    SHOW(fread(in, 0, 1, stream));
    SHOW(hash(0, in, sizeof in) == hash(0, big, sizeof big));
    done(stream);
    stream = arriving(big, sizeof big, piece, false);
    setvbuf(stream, NULL, piece % 2 ? _IONBF : _IOLBF, 0);
    SHOW(fread(in, 3, 20000, stream));
    SHOW(fread_unlocked(in + 60000, 1, 40001, stream));
    SHOW(hash(0, in, sizeof in) == hash(0, big, sizeof big));
    done(stream);
  }

  const char *numbers = "  12 abc 7.5 xyz\n99,100 end";
  stream = arriving(numbers, strlen(numbers), 2, false);
  int a, b, n;
  double d;
  char word[20], rest[20];
  SHOW(fscanf(stream, "%d %19s%n", &a, word, &n));
  printf("%d %s %d\n", a, word, n);
  SHOW(fscanf(stream, "%lf %*s", &d));
  printf("%.1f\n", d);
  SHOW(fscanf(stream, "%2$d,%1$d", &a, &b));
  printf("%d %d\n", a, b);
  SHOW(fscanf(stream, " %19[^%]]%%", rest));
  SHOW(fscanf(stream, "%d", &a));
  SHOW(fscanf(stream, "%d", &a));
  done(stream);

  /* Files, with positions. */
  char path[] = "/tmp/upstare-test-XXXXXX";
  int fd = mkstemp(path);
  CHECK(fd >= 0 && !unlink(path) && write(fd, big, sizeof big) == sizeof big);
  lseek(fd, 0, SEEK_SET);
  stream = fdopen(fd, "r+");
  unsigned long sum = 0;
  for (int i = 0; i < 50000; i++) sum = hash(sum, (char[]){(char)getc(stream)}, 1);
  SHOW(sum == hash(0, big, 50000));
  SHOW(ftell(stream));
  SHOW(fseek(stream, 12345, SEEK_SET));
  SHOW(fread(in, 1, 20000, stream));
  SHOW(ftell(stream));
  SHOW(memcmp(in, big + 12345, 20000));
  SHOW(fseek(stream, 0, SEEK_CUR));
  SHOW(fwrite("written", 1, 7, stream));
  SHOW(fseek(stream, -7, SEEK_CUR));
  SHOW(fread(in, 1, 7, stream));
  SHOW(memcmp(in, "written", 7));
  SHOW(ftell(stream));
  SHOW(lseek(fileno(stream), 0, SEEK_CUR));
  SHOW(fseek(stream, 0, SEEK_END));
  SHOW(getc(stream));
  SHOW(feof(stream) != 0);
  fclose(stream);

  /* Both ways on a socket: what was written goes out before the wait for the answer. */
  int pair[2];
  CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  writer = fork();
  if (!writer) {
    char request[8] = "";
    CHECK(syscall(SYS_read, pair[1], request, 5) == 5);
    CHECK(syscall(SYS_write, pair[1], "answer\n", 7) == 7);
    _exit(strcmp(request, "hello"));
  }
  stream = fdopen(pair[0], "r+");
  fputs("hello", stream);
  SHOW(fgets(line, sizeof line, stream) != NULL);
  printf("%s", line);
  int status;
  CHECK(waitpid(writer, &status, 0) == writer);
  SHOW(status);
  fclose(stream);

  /* Other kinds. */
  char memory[] = "one\ntwo\n";
  stream = fmemopen(memory, 8, "r");
  while (fgets(line, sizeof line, stream)) printf("memory %s", line);
  fclose(stream);
  stream = fopen("/dev/null", "w");
  SHOW(getc(stream));
  SHOW(errno);
  SHOW(ferror(stream) != 0);
  fclose(stream);
  CHECK(!pipe(pair));
  fcntl(pair[0], F_SETFL, O_NONBLOCK);
  stream = fdopen(pair[0], "r");
  SHOW(getc(stream));
  SHOW(errno);
  SHOW(fgets(line, sizeof line, stream) == NULL);
  SHOW(feof(stream) != 0);
  CHECK(freopen("/dev/null", "r", stdin));
  SHOW(getchar());
  SHOW(scanf("%d", &a));
  free(lines);
  return 0;
}
