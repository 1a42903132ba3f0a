#include "log.h"
#include "tree.h"
#include <pthread.h>
#include <stdio.h>

static int calls;

static int visit(const char *key, long value, void *context) {
  char *prefix = context;
  printf("%s%s=%ld at depth %d\n", prefix, key, value, tree_depth);
  return ++calls;
}

static void *work(void *argument) {
  struct node *tree = NULL;
  char key[16];
  for (unsigned i = 0, x = 7; i < 40; i++, x = x * 1103515245 + 12345) {
    snprintf(key, sizeof key, "k%u", x >> 16 & 31);
    tree = tree_insert(tree, key, i);
  }
  char prefix[] = "- ";
  *(long *)argument = tree_walk(tree, visit, prefix);
  tree_free(tree);
  return NULL;
}

int main(void) {
  long sum = 0;
  pthread_t thread;
  pthread_create(&thread, NULL, work, &sum);
  pthread_join(thread, NULL);
  struct node *(*insert)(struct node *, const char *, long) = tree_insert;
  struct node *tree = insert(insert(NULL, "a", 1), "b", 2);
  log_line("sum", sum + tree_walk(tree, visit, "= "));
  printf("%ld nodes, %ld lines, %d calls\n", tree_nodes, log_lines(), calls);
  tree_free(tree);
}
