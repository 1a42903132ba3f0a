#include <stdio.h>

#ifdef NEW
#define VERSION "new"
#else
#define VERSION "old"
#endif

int opened;
__attribute__((constructor)) static void begin(void) { opened++; }

int serve(const char *what) {
  int served = 0;
  while (getchar() != EOF) printf("%s %s %d, opened %d times\n", VERSION, what, ++served, opened);
  return served;
}
