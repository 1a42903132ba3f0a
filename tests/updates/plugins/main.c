/* A program that opens plug-ins, which call it back by name and through a pointer. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#ifdef NEW
#define VERSION "new"
#else
#define VERSION "old"
#endif

typedef const char *teller(void);

const char *version(void) { return VERSION; }

/* No plug-in can see it; each has a function of this name. */
__attribute__((visibility("hidden"), noinline)) const char *helper(void) { return VERSION "'s own"; }

static const char *callback(void) { return VERSION; }

int main(void) {
  char path[4096];
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (fgets(path, sizeof path, stdin) != NULL) {
    path[strcspn(path, "\n")] = 0;
    void *plugin = dlopen(path, RTLD_NOW);
    if (plugin == NULL) {
      puts(dlerror());
      continue;
    }
    void (*poke)(teller *, teller *) = (void (*)(teller *, teller *))dlsym(plugin, "poke");
    poke(callback, version);
    printf("found %s, helper %s\n", ((teller *)dlsym(NULL, "version"))(), helper());
  }
}
