#include <stdio.h>
static int id(int x) { return x; }
int main(int argc, char *argv[], char **envp) { int s = 0; for (char **e = envp; *e; e++) s |= id(1); printf("%d %d %d\n", argc, argv[argc] == NULL, s); if (id(1)) printf("falls off the end\n"); }
