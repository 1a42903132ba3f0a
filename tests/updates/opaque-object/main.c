/* Code without a unit calls the program by its name: an object, and a member of an archive. */
#include <stdio.h>

#ifdef NEW
#define VERSION "new"
#else
#define VERSION "old"
#endif

const char *from_object(void), *from_archive(void);

const char *version(void) { return VERSION; }

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (getchar() != EOF) printf("%s %s %s\n", version(), from_object(), from_archive());
}
