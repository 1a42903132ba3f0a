/*
 * Text that grows, in the runtime's own memory, and JSON in it.
 */
#include "text.h"

#define FIRST 4032u /* with the header of its mapping, a page */

static bool grow(struct ups_text *text, size_t more) {
  if (text->failed) return false;
  if (text->room - text->length > more) return true;
  size_t room = text->room ? text->room : FIRST;
  while (room - text->length <= more) room += room + 64;
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

void ups_text_append(struct ups_text *text, const char *bytes, size_t count) {
  if (!grow(text, count + 1)) return;
  memcpy(text->bytes + text->length, bytes, count);
  text->length += count;
  text->bytes[text->length] = 0;
}

/* Bytes above ASCII go through as they are: names are UTF-8. */
void ups_text_quote(struct ups_text *text, const char *string) {
  ups_text_append(text, "\"", 1);
  for (const char *c = string; *c != 0; c++) {
    if (*c == '"' || *c == '\\')
      ups_text_append(text, "\\", 1);
    if ((unsigned char)*c < 0x20)
      ups_text_add(text, "\\u%04x", (unsigned)*c);
    else
      ups_text_append(text, c, 1);
  }
  ups_text_append(text, "\"", 1);
}

void ups_text_hex(struct ups_text *text, const uint8_t *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    ups_text_append(text, &"0123456789abcdef"[bytes[i] >> 4], 1);
    ups_text_append(text, &"0123456789abcdef"[bytes[i] & 15], 1);
  }
}
