/* Functions with points that the compiler would inline where nothing looks at points: in a pinned function. */
#include <pthread.h>
#include <stdio.h>
static int id(int x) { return x; }
static int inlined(int n) {
  int t = id(0);
  for (int i = 0; i < n; i++) t += id(i);
  t += id(3);
  return t;
}
static void *taken_down(void *argument) { *(int *)argument += id(1) + id(2); return argument; }
int main(int count, char **words) {
  int (*row)[count] = 0; /* a pointer to an array of variable length: this frame is not taken down */
  pthread_t thread;
  int sum = 4, t = inlined(count + 3);
  pthread_create(&thread, 0, taken_down, &sum);
  pthread_join(thread, 0);
  printf("%d %d\n", t + (row != 0), sum);
  return 0;
}
