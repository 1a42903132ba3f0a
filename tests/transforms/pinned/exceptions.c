// options: -fexceptions
static int id(int x) { for (volatile int i = 0; i < 3; i++) continue; return x; }
static int cleaned;
static void clean(int *x) { cleaned += *x; }
static int cleans(int n) {
  __attribute__((cleanup(clean))) int held = n;  // pinned: cleans: cleanup attribute with -fexceptions
  return id(held);
}
int main(void) { return cleans(3) + cleaned != 6; }
