#include <stdio.h>
static int id(int x) { return x; }
void main(void) { printf("%d\n", id(3)); __builtin_exit(id(4)); }
