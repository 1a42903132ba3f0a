/* Buffers that are copied, moved and passed on: every copy leads to where the frame is now. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int id(int x) { return x; }

struct handler {
  int depth;
  jmp_buf buffer;
  volatile int status;
};

/* By assignment, by memcpy, by realloc, by value; the original is overwritten each time. */
static void jump_by_value(struct handler h, int with) {
  id(with);
  longjmp(h.buffer, with);
}

static int copied(int n) {
  struct handler first, second;
  jmp_buf third;
  volatile int stage = 0;
  const int before = id(n) * 7;
  int r = setjmp(first.buffer);
  id(r);
  if (r == 0) {
    second = first;
    memset(&first, 0x5a, sizeof first);
    id(1);
    stage = 1;
    longjmp(second.buffer, 2);
  }
  if (r == 2) {
    id(2);
    memcpy(&third, &second.buffer, sizeof third);
    memset(&second, 0, sizeof second);
    stage = stage * 10 + 2;
    id(3);
    longjmp(third, 3);
  }
  if (r == 3) {
    struct handler *moved = malloc(sizeof *moved);
    memcpy(&moved->buffer, &third, sizeof third);
    moved = realloc(moved, 1 << 20);
    memset(&third, 1, sizeof third);
    id(4);
    memcpy(&first.buffer, &moved->buffer, sizeof third);
    free(moved);
    stage = stage * 10 + 3;
    jump_by_value(first, id(4));
  }
  return before * 1000 + stage * 10 + r;
}

/* One call of setjmp fills many buffers, all of which stay in use. */
static int many(int n) {
  static jmp_buf buffers[4];
  volatile int sum = 0, i = 0, seen = 0;
  for (i = 0; i < 4; i++) {
    int r = setjmp(buffers[i]);
    id(i);
    if (r != 0) {
      sum = sum * 10 + r;
      if (++seen < 4) longjmp(buffers[(seen * 3 + n) % 4], seen + 1);
      return sum;
    }
  }
  id(n);
  longjmp(buffers[n % 4], 1);
}

/* A stack of handlers that is saved and put back as a whole, as interpreters do. */
static struct handler handlers[3], saved[3];
static int depth;

static void throw(int with) {
  id(with);
  longjmp(handlers[--depth].buffer, with);
}

static int guarded(int n) {
  volatile int caught = 0;
  int r = setjmp(handlers[depth].buffer);
  if (r == 0) {
    depth++;
    id(n);
    memcpy(saved, handlers, sizeof saved);
    memset(handlers, 0xff, sizeof handlers);
    id(n + 1);
    memcpy(handlers, saved, sizeof saved);
    if (n > 0) caught = guarded(n - 1);
    id(n + 2);
    throw(n + 1);
  }
  return caught * 10 + r;
}

/* A buffer that is used again, by somebody whose frame has long gone from where the first one's record was. */
static jmp_buf shared;

static int user(int n, void (*jump)(jmp_buf, int)) {
  char room[200];
  memset(room, n, sizeof room);
  int r = setjmp(shared);
  if (r != 0) return r + id(room[n]);
  id(r);
  jump(shared, n + 1);
  return -1;
}

static void jump(jmp_buf to, int with) { longjmp(to, with); }

static int deeper(int n) { return n == 0 ? user(3, jump) : deeper(n - 1) + id(n); }

/* With the signal mask, which copies carry along. */
#include <signal.h>
static int masks(void) {
  sigjmp_buf first, second;
  sigset_t set, now;
  volatile int turns = 0;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  int r = sigsetjmp(first, 1);
  id(r);
  sigprocmask(SIG_SETMASK, NULL, &now);
  if (r != 0) return turns * 10 + sigismember(&now, SIGUSR2);
  memcpy(&second, &first, sizeof second);
  memset(&first, 0, sizeof first);
  sigprocmask(SIG_BLOCK, &set, NULL);
  turns = id(6);
  siglongjmp(second, 1);
}

int main(void) {
  for (int i = 0; i < 3; i++) printf("%d %d\n", copied(i), many(i));
  printf("%d\n", guarded(2));
  printf("%d %d %d %d\n", user(1, jump), deeper(4), user(2, longjmp), user(1, jump));
  printf("%d\n", masks());
  return 0;
}
