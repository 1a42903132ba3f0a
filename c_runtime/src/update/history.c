/*
 * What happened to this process: the last updates, for `status`.
 */
#include "update.h"

#define EVENTS 32u

static struct ups_event events[EVENTS];
static uint32_t count;

static bool same(const struct ups_event *a, const struct ups_event *b) {
  return memcmp(a->to, b->to, sizeof a->to) == 0 && strcmp(a->outcome, b->outcome) == 0 &&
         strcmp(a->reason, b->reason) == 0;
}

/* What is tried over and over, in vain and for the same reason, counts once. */
void ups_history_add(const struct ups_event *event) {
  bool again = count != 0 && same(&events[(count - 1) % EVENTS], event);
  events[(again ? count - 1 : count++) % EVENTS] = *event;
}

void ups_history_pause(uint64_t pause_us) {
  if (count != 0) events[(count - 1) % EVENTS].pause_us = pause_us;
}

static void describe(struct ups_text *text, const struct ups_event *event) {
  ups_text_add(text, "{\"time\":%lld,\"from\":\"", (long long)event->time);
  ups_text_hex(text, event->from, sizeof event->from);
  ups_text_add(text, "\",\"to\":\"");
  ups_text_hex(text, event->to, sizeof event->to);
  ups_text_add(text, "\",\"from_version\":");
  ups_text_quote(text, event->from_version);
  ups_text_add(text, ",\"to_version\":");
  ups_text_quote(text, event->to_version);
  ups_text_add(text, ",\"outcome\":\"%s\",\"reason\":", event->outcome);
  ups_text_quote(text, event->reason);
  ups_text_add(text, ",\"pause_us\":%llu}", (unsigned long long)event->pause_us);
}

void ups_history_describe(struct ups_text *list) {
  ups_text_add(list, "[");
  uint32_t first = count > EVENTS ? count - EVENTS : 0;
  for (uint32_t i = first; i < count; i++) {
    if (i > first) ups_text_add(list, ",");
    describe(list, &events[i % EVENTS]);
  }
  ups_text_add(list, "]");
}
