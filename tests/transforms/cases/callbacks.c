/* Callbacks from libraries: points inside them, and stacks with a library's frames in the middle. */
#define _GNU_SOURCE
#include <dirent.h>
#include <ftw.h>
#include <glob.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
static int n, visits, total;
static int id(int x) { n++; return x; }
static int compare(const void *a, const void *b) { return id(*(const int *)a) - id(*(const int *)b); }
static int compare_r(const void *a, const void *b, void *state) { ++*(int *)state; return id(*(const int *)b) - *(const int *)a; }
static void visit(const void *node, VISIT which, int depth) { if (which == postorder || which == leaf) { total += id(**(int *const *)node) * (id(depth) >= 0); visits++; } }
static int walk(const char *path, const struct stat *st, int flag, struct FTW *at) { (void)st; if (flag == FTW_F) { visits += id(1); total += (int)strlen(path + at->base); } return id(0); }
static int old_walk(const char *path, const struct stat *st, int flag) { (void)path; (void)st; visits += id(flag == FTW_D); return 0; }
static int select_entry(const struct dirent *e) { for (int i = 0; i < 2; i++) id(i); return e->d_name[0] != '.'; }
static int by_name(const struct dirent **a, const struct dirent **b) { return id(strcmp((*b)->d_name, (*a)->d_name)); }
static int on_error(const char *path, int error) { (void)path; return id(error) != error; }
static void free_node(void *p) { visits += id(*(int *)p); }
static int nested_sort(const void *a, const void *b) { int v[3] = {3, 1, 2}; qsort(v, 3, sizeof *v, compare); return compare(a, b) * id(v[0]); }
static ssize_t cookie_write(void *cookie, const char *data, size_t size) { for (size_t i = 0; i < size; i++) *(int *)cookie += id(data[i]); return (ssize_t)size; }
int main(void) {
  int data[] = {5, 2, 9, 1, 7, 3, 8, 4, 6, 0}, key = 7, calls = 0; void *root = NULL;
  qsort(data, 10, sizeof *data, compare); int *found = bsearch(&key, data, 10, sizeof *data, compare); printf("%d %td ", data[0], found - data);
  qsort_r(data, 10, sizeof *data, compare_r, &calls); printf("%d %d ", data[0], calls); qsort(data, 10, sizeof *data, nested_sort); printf("%d ", data[0]);
  for (int i = 0; i < 10; i++) tsearch(&data[i], &root, compare);
  twalk(root, visit); printf("%d %d %d ", visits, total, **(int **)tfind(&key, &root, compare)); tdelete(&key, &root, compare); tdestroy(root, free_node);
  size_t count = 10; int *l = lfind(&key, data, &count, sizeof *data, compare); printf("%td %d\n", l - data, visits);
  char place[] = "/tmp/upstare-callbacks-XXXXXX", name[64]; if (!mkdtemp(place)) return 1;
  for (int i = 0; i < 3; i++) { snprintf(name, sizeof name, "%s/file%d", place, i); fclose(fopen(name, "w")); }
  visits = total = 0; nftw(place, walk, 4, FTW_PHYS); ftw(place, old_walk, 4); printf("%d %d ", visits, total);
  struct dirent **list; int k = scandir(place, &list, select_entry, by_name); for (int i = 0; i < k; i++) { printf("%s ", list[i]->d_name); free(list[i]); } free(list);
  glob_t g; snprintf(name, sizeof name, "%s/*", place); int globbed = glob(name, 0, on_error, &g); printf("%d %zu ", globbed, g.gl_pathc); globfree(&g);
  for (int i = 0; i < 3; i++) { snprintf(name, sizeof name, "%s/file%d", place, i); unlink(name); } rmdir(place);
  int sum = 0; FILE *f = fopencookie(&sum, "w", (cookie_io_functions_t){.write = cookie_write}); fprintf(f, "hello %d", id(5)); fclose(f); printf("%d\n", sum);
  return 0;
}
