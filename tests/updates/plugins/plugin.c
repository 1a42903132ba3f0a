#include <stdio.h>

typedef const char *teller(void);
teller version;

const char *helper(void) { return "the plug-in's"; }

void poke(teller *callback, teller *known) {
  printf("name %s, pointer %s, helper %s, %s\n", version(), callback(), helper(), known == version ? "same" : "other");
}
