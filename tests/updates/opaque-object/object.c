const char *version(void);
const char *NAME(void) { return version(); }
