#include <stdio.h>
#include <stdlib.h>
static int id(int x) { return x; }
void main(void) { printf("%d\n", id(3)); exit(id(4)); }
