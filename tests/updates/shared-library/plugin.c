#include <stdio.h>

extern int counted;
const char *count(void);

void poke(void) {
  const char *version = count();
  printf("plug-in: %s counted %d\n", version, counted);
}
