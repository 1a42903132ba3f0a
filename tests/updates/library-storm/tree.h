struct node;
typedef int visitor(const char *key, long value, void *context);
struct node *tree_insert(struct node *tree, const char *key, long value);
int tree_walk(const struct node *tree, visitor *visit, void *context);
void tree_free(struct node *tree);
extern long tree_nodes;
extern __thread int tree_depth;
