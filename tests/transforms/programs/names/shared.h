/* What the units share: inline functions of both kinds, weak functions, aliases, common and thread-local variables. */
extern int count;
extern __thread int per_thread;
static inline int step(int x) { static int calls; calls++; count++; return x + calls * 0; }
extern inline __attribute__((gnu_inline)) int gnu(int x) { return step(x) * 2; }
inline int c99(int x) { int s = 0; for (int i = 0; i < 3; i++) s += step(x); return s; }
int replaced(int x);
int fallback(int x);
int other_name(int x);
int from_alias(int x);
extern int (*const table[])(int);
struct options { int level; const char *name; };
extern const struct options defaults;
