#include "log.h"
#include <stdio.h>

static int calls;

__attribute__((constructor)) static void begin(void) { puts("log begins"); }
__attribute__((destructor)) static void end(void) { printf("log ends after %d\n", calls); }
__attribute__((visibility("hidden"))) void log_write(const char *text) { printf("%3d %s\n", calls, text); }

void log_line(const char *what, long number) {
  char text[40];
  snprintf(text, sizeof text, "%s %ld", what, number);
  calls++;
  log_write(text);
}

long log_lines(void) { return calls; }
