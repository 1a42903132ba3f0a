#include <dlfcn.h>
#include <stdio.h>

extern int counted;
const char *count(void);

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  void *plugin = dlopen("plugin.so", RTLD_NOW);
  if (plugin == NULL) puts(dlerror());
  void (*poke)(void) = (void (*)(void))dlsym(plugin, "poke");
  while (getchar() != EOF) {
    const char *version = count();
    printf("program: %s counted %d\n", version, counted);
    poke();
  }
}
