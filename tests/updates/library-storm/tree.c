/* A library with recursion, callbacks, and names that the program and another library have, too. */
#include "tree.h"
#include "log.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct node { struct node *left, *right; long value; char key[16]; };

long tree_nodes;
__thread int tree_depth;
static int calls;

static struct node *make(const char *key, long value) {
  static int serial = 100;
  struct node *node = calloc(1, sizeof *node);
  strncpy(node->key, key, sizeof node->key - 1);
  node->value = value + serial++;
  tree_nodes++;
  log_line("made", ++calls);
  return node;
}

struct node *tree_insert(struct node *tree, const char *key, long value) {
  if (tree == NULL) return make(key, value);
  int order = strcmp(key, tree->key);
  if (order < 0) tree->left = tree_insert(tree->left, key, value);
  else if (order > 0) tree->right = tree_insert(tree->right, key, value);
  else tree->value += value;
  return tree;
}

int tree_walk(const struct node *tree, visitor *visit, void *context) {
  if (tree == NULL) return 0;
  tree_depth++;
  int sum = tree_walk(tree->left, visit, context);
  usleep(1);
  sum += visit(tree->key, tree->value, context);
  sum += tree_walk(tree->right, visit, context);
  tree_depth--;
  return sum;
}

void tree_free(struct node *tree) {
  if (tree == NULL) return;
  tree_free(tree->left);
  tree_free(tree->right);
  free(tree);
}
