#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct progress {
  int done;
};

static void **hidden;

int main(void) {
  struct progress progress = {0};
  struct progress *to = &progress;
  setvbuf(stdout, NULL, _IOLBF, 0);
  char *memory = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  hidden = (void **)(memory + (33 << 20) + 4088);
  memcpy(hidden, &to, sizeof to);
  for (;;) {
    progress.done++;
    printf("old %d\n", *hidden == (void *)&progress);
    usleep(5000);
  }
}
