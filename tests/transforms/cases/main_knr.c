#include <stdio.h>
static int n;
static id(x) { n++; return x; }
main(argc, argv) int argc; char **argv; { int i; for (i = 0; i < 3; i++) printf("%d ", id(i) + twice(i)); printf("%d %s\n", n, argv[0] ? "named" : ""); return id(5); }
twice(x) { return id(x) * 2; }
