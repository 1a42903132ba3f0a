/*
 * Text that grows, in the runtime's own memory, and JSON in it.
 */
#include "text.h"

#define FIRST 4096u

static bool grow(struct ups_text *text, size_t more) {
  if (text->failed) return false;
  if (text->room - text->length > more) return true;
  size_t room = text->room ? text->room : FIRST;
  while (room - text->length <= more) room *= 2;
  char *bytes = ups_map(room);
  if (bytes == NULL) {
    text->failed = true;
    return false;
  }
  if (text->length != 0) memcpy(bytes, text->bytes, text->length);
  ups_unmap(text->bytes);
  text->bytes = bytes;
  text->room = room;
  return true;
}

void ups_text_clear(struct ups_text *text) {
  text->length = 0;
  text->failed = false;
  if (text->bytes != NULL) text->bytes[0] = 0;
}

void ups_text_free(struct ups_text *text) {
  ups_unmap(text->bytes);
  *text = (struct ups_text){0};
}

const char *ups_text_string(const struct ups_text *text) {
  return text->bytes != NULL ? text->bytes : "";
}

void ups_text_add(struct ups_text *text, const char *format, ...) {
  va_list arguments;
  char probe[1];
  va_start(arguments, format);
  int length = vsnprintf(probe, sizeof probe, format, arguments);
  va_end(arguments);
  if (length < 0 || !grow(text, (size_t)length + 1)) return;
  va_start(arguments, format);
  vsnprintf(text->bytes + text->length, (size_t)length + 1, format, arguments);
  va_end(arguments);
  text->length += (size_t)length;
}

/* Bytes above ASCII go through as they are: names are UTF-8. */
void ups_text_quote(struct ups_text *text, const char *string) {
  ups_text_add(text, "\"");
  for (const unsigned char *c = (const unsigned char *)string; *c != 0; c++) {
    if (*c == '"' || *c == '\\')
      ups_text_add(text, "\\%c", *c);
    else if (*c < 0x20)
      ups_text_add(text, "\\u%04x", *c);
    else
      ups_text_add(text, "%c", *c);
  }
  ups_text_add(text, "\"");
}

void ups_text_hex(struct ups_text *text, const uint8_t *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) ups_text_add(text, "%02x", bytes[i]);
}
