#include <stdio.h>
static int id(int x) { return x; }
int main(int argc) { int here = id(argc); if (argc < 6) { int r = main(argc + 1); printf("%d ", here); return r + id(here); } return id(0); }
