/*
 * Text that grows, in the runtime's own memory. agent.
 */
#ifndef UPS_TEXT_H
#define UPS_TEXT_H

#include "runtime.h"

#pragma GCC visibility push(hidden)

struct ups_text {
  char *bytes; /* NUL-terminated; null: empty */
  size_t length, room;
  bool failed; /* no memory: what was added since is missing */
};

void ups_text_clear(struct ups_text *text);
void ups_text_free(struct ups_text *text);
const char *ups_text_string(const struct ups_text *text);
void ups_text_add(struct ups_text *text, const char *format, ...) __attribute__((format(gnu_printf, 2, 3)));
void ups_text_append(struct ups_text *text, const char *bytes, size_t count);
void ups_text_quote(struct ups_text *text, const char *string); /* a JSON string */
void ups_text_hex(struct ups_text *text, const uint8_t *bytes, size_t count);

#pragma GCC visibility pop

#endif
