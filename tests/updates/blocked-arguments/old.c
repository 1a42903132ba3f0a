#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static va_list *everywhere;

/* Waits for a word of input before each argument that it shows. */
static void show(const char *format, va_list ap) {
  for (; *format; format++) {
    char word, dirt[2000];
    if (read(0, &word, 1) != 1)
      return;
    memset(dirt, 0xee, sizeof dirt);
    __asm__ volatile("" : : "m"(dirt));
    printf("old ");
    if (*format == 'i')
      printf("%d", va_arg(ap, int));
    else if (*format == 'f')
      printf("%.2f", va_arg(ap, double));
    else
      printf("%s", va_arg(ap, const char *));
    printf(" (%d)\n", va_arg(*everywhere, int));
  }
}

static void logger(int id, const char *format, ...) {
  va_list ap, ids;
  va_start(ap, format);
  va_copy(ids, ap);
  everywhere = &ids;
  show(format, ap);
  va_end(ids);
  va_end(ap);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int round = 1; round < 3; round++)
    logger(round, "iiiiiiiiffffffffffs", 1, 2, 3, 4, 5, 6, 7, 8, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.5,
           "end", 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22);
  return 0;
}
