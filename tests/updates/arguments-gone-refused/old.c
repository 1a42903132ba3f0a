#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static int next(va_list *ap) { return va_arg(*ap, int); }

static void show(const char *title, ...) {
  char word;
  va_list ap;
  va_start(ap, title);
  while (read(0, &word, 1) == 1)
    printf("old %s %d\n", title, next(&ap));
  va_end(ap);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  show("number", 1, 2, 3, 4);
  return 0;
}
