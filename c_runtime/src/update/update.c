/*
 * The update itself: load, stop and prepare, then commit or go back. And the way back later.
 *
 *   IDLE -> LOADED      the new image is in memory (or the previous one, for a rollback); the old version runs on
 *   LOADED -> PREPARED  all threads are parked, every frame has a continuation; then stacks down and data transformed.
 *                       Nothing is written that the old version sees, and nothing can fail any more.
 *   PREPARED -> SETTLED the ballot decides: entries switched and new stacks up, or the old stacks up again
 *   SETTLED -> IDLE     with the next request; until then whoever asks is told how it ended
 */
#define _GNU_SOURCE
#include "update.h"

#include "ballot.h"
#include "blocking.h"
#include "faults.h"

enum state { IDLE, LOADED, PREPARED, SETTLED };

/* The last update, for its rollback. */
static struct {
  struct ups_image *previous; /* null: there is none */
  const struct upstare_patch *patch;
  void **slots; /* what the entries held before */
} last;

static struct {
  enum state state;
  struct ups_transition transition;
  void **slots; /* what the entries hold now; null: a rollback */
  struct ups_report report; /* PREPARED: so far. SETTLED: how it ended */
} now;

/* ---- Reports ------------------------------------------------------------------------------------------------------------ */

static void fail(struct ups_report *report, const char *kind, const char *text) {
  report->kind = kind;
  if (text != NULL) ups_text_add(&report->reason, "%s", text);
}

static void record(const char *outcome, const struct ups_report *report, const struct ups_image *from,
                   const struct ups_image *to) {
  struct timespec time;
  struct ups_event event = {.outcome = outcome, .pause_us = report->pause_us};
  clock_gettime(CLOCK_REALTIME, &time);
  event.time = time.tv_sec;
  memcpy(event.from, from->info->build, sizeof event.from);
  memcpy(event.to, to->info->build, sizeof event.to);
  snprintf(event.from_version, sizeof event.from_version, "%s", from->info->version);
  snprintf(event.to_version, sizeof event.to_version, "%s", to->info->version);
  snprintf(event.reason, sizeof event.reason, "%s", ups_text_string(&report->reason));
  ups_history_add(&event);
}

void ups_report_free(struct ups_report *report) {
  ups_text_free(&report->reason);
  ups_text_free(&report->culprits);
  ups_text_free(&report->detail);
  *report = (struct ups_report){0};
}

/* ---- Load --------------------------------------------------------------------------------------------------------------- */

static void loaded(struct ups_image *target, const struct upstare_patch *patch, bool backward,
                   struct ups_report *report) {
  now.state = LOADED;
  now.transition = (struct ups_transition){target, patch, backward ? &patch->backward : &patch->forward, backward};
  report->checks = now.transition.direction->n_checks;
}

void ups_update_load(int fd, struct ups_report *report) {
  uint64_t begun = ups_now_us();
  const char *why;
  ups_update_cancel(NULL);
  if (ups_fault(UPS_STEP_LOAD)) {
    fail(report, "refused", "a fault was ordered");
    return;
  }
  struct ups_image *target = ups_load(fd, &why);
  if (target == NULL) {
    fail(report, "refused", why);
    return;
  }
  loaded(target, target->patch, false, report);
  report->load_us = ups_now_us() - begun;
  ups_fault(UPS_STEP_LOADED);
}

void ups_update_load_twin(int fd, struct ups_report *report) {
  uint64_t begun = ups_now_us();
  ups_update_cancel(NULL);
  const char *why = ups_load_twin(fd);
  if (why != NULL) fail(report, "refused", why);
  report->load_us = ups_now_us() - begun;
}

void ups_update_load_previous(struct ups_report *report) {
  uint64_t begun = ups_now_us();
  ups_update_cancel(NULL);
  if (ups_fault(UPS_STEP_LOAD)) {
    fail(report, "refused", "a fault was ordered");
    return;
  }
  if (last.previous == NULL) {
    fail(report, "unchanged", "there is no update to take back");
    return;
  }
  loaded(last.previous, last.patch, true, report);
  report->load_us = ups_now_us() - begun;
  ups_fault(UPS_STEP_LOADED);
}

/* ---- Prepare ------------------------------------------------------------------------------------------------------------ */

static bool save_slots(struct ups_report *report) {
  const struct upstare_direction *d = now.transition.direction;
  if (now.transition.backward) return true;
  now.slots = ups_map((d->n_entries + 1) * sizeof *now.slots);
  for (uint32_t i = 0; now.slots != NULL && i < d->n_entries; i++) now.slots[i] = *d->entries[i].slot;
  if (now.slots == NULL) ups_text_add(&report->reason, "there is no memory for the entries");
  return now.slots != NULL;
}

/* All threads are parked. False: they run again, and the report has the reason. */
static bool prepare(struct ups_report *report) {
  bool refuse = ups_fault(UPS_STEP_STOPPED);
  ups_halt_unroll();
  uint64_t begun = ups_now_us();
  refuse |= ups_fault(UPS_STEP_UNROLLED);
  if (refuse) ups_text_add(&report->reason, "a fault was ordered");
  if (!refuse && ups_map_all(&now.transition, report) && save_slots(report)) {
    report->transform_us = ups_now_us() - begun;
    return true;
  }
  ups_halt_rebuild();
  if (report->kind == NULL) fail(report, "refused", NULL);
  return false;
}

static void stop(uint64_t deadline_us, struct ups_report *report) {
  uint64_t begun = ups_now_us();
  if (ups_fault(UPS_STEP_STOP)) {
    fail(report, "refused", "a fault was ordered");
    return;
  }
  switch (ups_halt_start(deadline_us, ups_map_vote, &now.transition, report)) {
    case UPS_HALT_DONE: break;
    case UPS_HALT_TIMED_OUT: report->kind = "timed_out"; return;
    case UPS_HALT_REFUSED: report->kind = "refused"; return;
    case UPS_HALT_CALLED_OFF: fail(report, "refused", "the coordinator called the update off"); return;
  }
  report->stop_us = ups_now_us() - begun;
  ups_halt_count(&report->counts);
  if (!prepare(report)) return;
  now.state = PREPARED;
  now.report = (struct ups_report){
      .counts = report->counts, .moved = report->moved, .stop_us = report->stop_us, .transform_us = report->transform_us};
  if (ups_fault(UPS_STEP_PREPARED)) ups_update_cancel("a fault was ordered");
}

void ups_update_stop(uint64_t deadline_us, int ballot, struct ups_report *report) {
  if (now.state != LOADED) {
    fail(report, "error", "nothing is loaded");
    return;
  }
  if (ups_ballot_open(ballot))
    stop(deadline_us, report);
  else
    fail(report, "refused", "the memory for the decision of the update cannot be had");
  if (now.state == PREPARED) return;
  ups_ballot_close();
  if (report->kind == NULL) fail(report, "refused", "a fault was ordered");
  bool later = strcmp(report->kind, "not_now") == 0;
  record(later ? "refused" : report->kind, report, atomic_load(&ups_current), now.transition.target);
  now.state = IDLE;
}

/* ---- Settle -------------------------------------------------------------------------------------------------------------- */

static void store_slot(void **slot, void *value) {
  __atomic_store_n(slot, value, __ATOMIC_SEQ_CST); /* threads of libraries may be calling through it */
}

static void switch_entries(void) {
  const struct upstare_direction *d = now.transition.direction;
  if (now.transition.backward) {
    const struct upstare_direction *forward = &now.transition.patch->forward;
    for (uint32_t i = 0; i < forward->n_entries; i++) store_slot(forward->entries[i].slot, last.slots[i]);
    ups_unmap(last.slots);
    last.slots = NULL;
    last.previous = NULL;
    last.patch = NULL;
    return;
  }
  for (uint32_t i = 0; i < d->n_entries; i++)
    if (d->entries[i].function != NULL) store_slot(d->entries[i].slot, (void *)d->entries[i].function);
  ups_unmap(last.slots);
  last.slots = now.slots;
  now.slots = NULL;
  last.previous = atomic_load(&ups_current);
  last.patch = now.transition.patch;
}

static void rebuild(struct ups_report *report) {
  uint64_t begun = ups_now_us();
  ups_halt_rebuild();
  uint64_t first = atomic_load(&ups_stop.first_parked_us), end = atomic_load(&ups_stop.last_running_us);
  report->resume_us = end > begun ? end - begun : 0;
  report->pause_us = first != 0 && end > first ? end - first : 0;
}

/* Cannot fail. */
static void commit(struct ups_report *report) {
  struct ups_image *from = atomic_load(&ups_current), *to = now.transition.target;
  ups_fault(UPS_STEP_DECIDED);
  ups_map_adopt();
  switch_entries();
  to->has_run = true;
  atomic_store(&ups_current, to);
  if (ups_storm_every != 0) ups_points_arm(to, true);
  ups_fault(UPS_STEP_SWITCHED);
  /* Before any thread runs: what it forks must know of this update, or could not be taken back with the others. */
  record(now.transition.backward ? "rolled_back" : "updated", report, from, to);
  rebuild(report);
  ups_history_pause(report->pause_us);
}

static void go_back(struct ups_report *report, const char *why) {
  rebuild(report);
  report->moved = 0;
  fail(report, "refused", why);
  record("refused", report, atomic_load(&ups_current), now.transition.target);
}

/* PREPARED: as the ballot says, which is cast unless it was before. */
static void settle(bool wish, const char *why) {
  if (ups_ballot_cast(wish))
    commit(&now.report);
  else
    go_back(&now.report, wish ? "another process of the update, or its deadline, called it off" : why);
  ups_unmap(now.slots);
  now.slots = NULL;
  ups_ballot_close();
  now.state = SETTLED;
}

/* Tell how it ended. */
static void answer(struct ups_report *report) {
  *report = now.report;
  now.report = (struct ups_report){0};
  now.state = IDLE;
}

void ups_update_check(struct ups_report *report) {
  if (now.state == SETTLED) {
    answer(report);
    return;
  }
  if (now.state != PREPARED) {
    fail(report, "error", "the threads are not stopped");
    return;
  }
  if (ups_fault(UPS_STEP_CHECK)) fail(report, "refused", "a fault was ordered");
  if (report->kind != NULL || !ups_map_check(&now.transition, report)) settle(false, ups_text_string(&report->reason));
}

void ups_update_commit(struct ups_report *report) {
  if (now.state == PREPARED) {
    ups_fault(UPS_STEP_DECIDE);
    settle(true, NULL);
  }
  if (now.state == SETTLED)
    answer(report);
  else
    fail(report, "error", "the threads are not stopped");
  ups_fault(UPS_STEP_DONE);
}

bool ups_update_prepared(void) {
  return now.state == PREPARED;
}

void ups_update_look(void) {
  if (now.state == PREPARED && ups_ballot_decided()) settle(false, "another process of the update called it off");
}

void ups_update_cancel(const char *why) {
  if (now.state == PREPARED) settle(false, why);
  if (now.state == SETTLED) ups_report_free(&now.report);
  now.state = IDLE;
}

bool ups_update_abort(struct ups_report *report) {
  if (now.state == PREPARED) settle(false, "the coordinator called the update off");
  bool committed = now.state == SETTLED && now.report.kind == NULL;
  if (committed)
    answer(report);
  else
    ups_update_cancel(NULL);
  return committed;
}

void ups_update_child(void) {
  now.state = IDLE;
  ups_ballot_close();
}

/* ---- A look -------------------------------------------------------------------------------------------------------------- */

void ups_update_glance(uint64_t deadline_us, struct ups_report *report) {
  struct ups_image *current = atomic_load(&ups_current);
  if (now.state != IDLE || !ups_image_read_self(current)) return;
  if (ups_halt_start(deadline_us, NULL, NULL, report) != UPS_HALT_DONE) return;
  report->counts = ups_halt_describe(&report->detail);
  ups_halt_cancel();
}
