/* Variables of inner scopes live on over a rebuild of a frame that called sigsetjmp. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sigjmp_buf again;
struct buffer { char *data; unsigned long length; };

static int scan(struct buffer *b, const char *line, int *prompt) {
  for (volatile int i = 0; i < 1; i++) ;
  if (line[0] == '!') siglongjmp(again, line[1]);
  strcat(b->data, line);
  b->length = strlen(b->data);
  *prompt += 1;
  return b->length > 20;
}

static int loop(const char *const *volatile lines) {
  struct buffer *volatile whole = calloc(1, sizeof *whole);
  volatile int seen = 0, prompt = 0;
  whole->data = calloc(1, 100);
  for (;;) {
    int jumped = sigsetjmp(again, 1);
    if (jumped != 0) printf("jumped %d %d %d\n", jumped, seen, prompt);
    const char *line = *lines++;
    if (line == NULL) break;
    do {
      int result, next = prompt;
      unsigned long position = whole->length;
      char *rest;
      result = scan(whole, line, &next);
      prompt = next;
      rest = whole->data + position;
      while (*rest != '\0') {
        if (*rest++ == '\n') seen++;
      }
      if (result) {
        printf("%s%d %d\n", whole->data, prompt, seen);
        whole->data[0] = '\0';
        whole->length = 0;
      }
    } while (prompt < 0);
  }
  return seen;
}

int main(void) {
  static const char *const lines[] = {"select\n", "more\n", "!a", "and more and more\n", "!b", "x\n", NULL};
  return loop(lines);
}
