#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct handler {
  struct handler *outer;
  sigjmp_buf at;
};
static struct handler *top;

static void work(int round) {
  printf("new work %d\n", round);
  usleep(5000);
  if (round % 3 == 2) siglongjmp(top->at, round);
}

/* A handler in this frame, around the one of the caller. */
static int protect(int round) {
  struct handler h = {top};
  int status = sigsetjmp(h.at, 0);
  if (status == 0) {
    top = &h;
    work(round);
  }
  top = h.outer;
  if (round % 5 == 4) siglongjmp(top->at, round);
  return status;
}

int main(void) {
  struct handler *h = malloc(sizeof *h);
  volatile int round = 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  top = h;
  if (sigsetjmp(h->at, 1) != 0) {
    printf("new restart at %d\n", round);
    round++;
  }
  for (;;) {
    int status = protect(round), fine = status == 0;
    if (status != 0 && status != round) printf("lost\n");
    if (!fine) printf("new caught %d\n", status);
    round++;
  }
}
