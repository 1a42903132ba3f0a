/* Runs one case in the mode that the argument says; how often it was stopped goes to standard error. */
#include "case.h"

#ifndef VERSION
#define VERSION 1 /* of the program, where it is updated while a case runs */
#endif

int main(int count, char **arguments) {
  (void)count, (void)arguments;
  setvbuf(stdout, NULL, _IOFBF, 1 << 16);
#ifndef PLAIN
  test_start(arguments[1]);
#endif
  int status = run();
  if (getenv("TEST_VERSION")) { /* who updates us may be slow */
    char byte;
    while (read(0, &byte, 1) == 1) continue;
    printf("version %d\n", VERSION);
  }
#ifdef PLAIN
  return status;
#else
  fprintf(stderr, "stops %llu unrolls %llu\n", (unsigned long long)test_stops(), (unsigned long long)test_unrolls());
  fflush(stdout);
  _exit(status); /* the one who stops threads is still at it */
#endif
}
