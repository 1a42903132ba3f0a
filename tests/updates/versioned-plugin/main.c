/* A program whose plug-in has the loop that never ends. */
#include <dlfcn.h>
#include <stdio.h>

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  void *plugin = dlopen("./plugins/plugin.so", RTLD_NOW);
  if (plugin == NULL) {
    puts(dlerror());
    return 1;
  }
  int (*serve)(const char *) = (int (*)(const char *))dlsym(plugin, "serve");
  int served = serve("line");
  printf("served %d, closed %d\n", served, dlclose(plugin));
}
