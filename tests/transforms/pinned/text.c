/* Text that the front end cannot take apart. Each line that is named in a message says which message. */
#include <string.h>
static int id(int x) { return x; }
static int raw(void) { return id((int)strlen(R"x(raw "text")x")); }  // pinned: raw: the front end does not understand it
static int packed(void) {
#pragma pack(push, 1)  // pinned: packed: #pragma pack inside a function
  struct tight { char c; int i; } t = {'a', id(4)};
#pragma pack(pop)
  return (int)sizeof t + t.i;
}
static int parallel(int k) {
#pragma omp parallel for  // pinned: parallel: #pragma omp inside a function
  for (int i = 0; i < k; i++) id(i);
  return id(k);
}
static int swapped(int k) {
#pragma scalar_storage_order big-endian  // pinned: swapped: #pragma scalar_storage_order inside a function
  struct other { int i; } o = {id(k)};
#pragma scalar_storage_order default
  return o.i;
}
int renamed(int k) {
#pragma redefine_extname not_here not_there  // pinned: renamed: #pragma redefine_extname inside a function
  return id(k);
}
int weakly(int k) {
#pragma weak weakly  // pinned: weakly: #pragma weak inside a function
  return id(k);
}
int accelerated(int k) {
#pragma acc loop  // pinned: accelerated: #pragma acc inside a function
  for (int i = 0; i < k; i++) id(i);
  return id(k);
}
int main(void) { return raw() + packed() + parallel(3) + swapped(1) + renamed(1) + weakly(1) + accelerated(1) != 10 + 9 + 3 + 4; }
