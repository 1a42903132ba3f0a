/* A library that a program has versioned, and that an opaque plug-in needs, too. */
#ifdef NEW
#define VERSION "new"
#else
#define VERSION "old"
#endif

int counted;

const char *count(void) {
  counted++;
  return VERSION;
}
