/*
 * Stopping the threads: the side of the thread. (The agent's side is update.c.)
 *
 * A thread gets here at a point or in a blocking call, with all signals blocked and its stack walked and complete. It
 * parks until the agent says GO_ON or UNROLL; unrolled, it waits at its base until the agent says REBUILD.
 *
 * Barriers. The agent stores `phase` and then reads the threads' states; a thread stores its state and then reads
 * `phase`. Both are seq_cst, so at least one of them sees the other: a thread that parks as a stop is called off either
 * is told to go on or finds out itself; one that is STARTING when the agent counts it as stopped finds the gate closed.
 */
#define _GNU_SOURCE
#include "runtime.h"

struct ups_stop ups_stop;

#define BACKOFF_MOST 256u
#define SIGNAL_SETXID 33 /* glibc's SIGSETXID */

void ups_changed(void) {
  atomic_fetch_add(&ups_stop.changes, 1);
  ups_futex_wake(&ups_stop.changes, 1);
}

enum ups_want ups_wanted(struct ups_thread *self) {
  if (atomic_load(&ups_stop.phase) == UPS_STOPPING) return UPS_WANT_STOP;
  if (ups_storm_every == 0) return UPS_WANT_NOTHING;
  ups_storm_count(UPS_STORM_POINT);
  if (++self->storm_count < ups_storm_every) return UPS_WANT_NOTHING;
  self->storm_count = 0;
  return UPS_WANT_STORM;
}

/*
 * A library's frame is in the way. While the stack is deeper than that frame, it may well still be there (we are being
 * called back again and again), so look less and less often; once the stack is shorter, it is gone: look at once.
 */
bool ups_attempt_due(struct ups_thread *self, uintptr_t sp) {
  if (self->blocker_sp == 0 || sp >= self->blocker_sp) return true;
  if (self->skips == 0) return true;
  self->skips--;
  return false;
}

void ups_attempt_failed(struct ups_thread *self, uintptr_t sp, enum ups_want want) {
  if (want == UPS_WANT_STORM) ups_storm_count(UPS_STORM_INCOMPLETE);
  if (sp >= self->blocker_sp || self->backoff == 0)
    self->backoff = 1;
  else if (self->backoff < BACKOFF_MOST)
    self->backoff *= 2;
  self->skips = self->backoff - 1;
}

/* The agent stores decisions and then announces them, to all at once: one system call wakes every thread. */
static uint32_t wait_decision(struct ups_thread *self) {
  for (;;) {
    uint32_t round = atomic_load(&ups_stop.round); /* before the decision is read: an announcement in between counts */
    uint32_t decision = atomic_load(&self->decision);
    if (decision != UPS_WAIT) {
      atomic_store(&self->decision, UPS_WAIT);
      return decision;
    }
    ups_futex_wait(&ups_stop.round, round, 0);
  }
}

bool ups_park(struct ups_thread *self) {
  uint64_t none = 0;
  self->blocker_sp = 0;
  self->backoff = self->skips = 0;
  atomic_compare_exchange_strong(&ups_stop.first_parked_us, &none, ups_now_us());
  atomic_store(&self->state, UPS_PARKED);
  if (atomic_load(&ups_stop.phase) == UPS_IDLE) { /* called off meanwhile: whoever changes the state first decides */
    uint32_t state = UPS_PARKED;
    if (atomic_compare_exchange_strong(&self->state, &state, UPS_RUNNING)) return false;
  }
  ups_changed();
  /* A thread that changes the user of the process waits for all others to answer this signal of the C library's. While
   * we are parked that is harmless; while the stack comes down it would write below the stack pointer. */
  sigset_t all, open;
  ups_signals_all(&all);
  open = all;
  ((unsigned long *)&open)[0] &= ~(1ul << (SIGNAL_SETXID - 1));
  ups_signals_restore(&open);
  uint32_t decision = wait_decision(self);
  ups_signals_restore(&all);
  return decision == UPS_UNROLL;
}

void ups_wait_rebuild(struct ups_thread *self) {
  atomic_store(&self->state, UPS_UNROLLED);
  ups_changed();
  wait_decision(self);
}

void ups_gate(struct ups_thread *self) {
  sigset_t mask;
  ups_signals_block(&mask);
  for (;;) {
    atomic_store(&self->state, UPS_RUNNING);
    uint32_t phase = atomic_load(&ups_stop.phase);
    if (phase == UPS_IDLE) break;
    atomic_store(&self->state, UPS_GATED);
    ups_changed();
    ups_futex_wait(&ups_stop.phase, phase, 0);
  }
  ups_signals_restore(&mask);
}

void ups_stop_child(void) {
  if (atomic_load(&ups_stop.phase) != UPS_IDLE) {
    atomic_store(&ups_stop.phase, UPS_IDLE);
    if (ups_storm_every == 0) {
      upstare_flag = 0;
      for (uint32_t i = 0; i < atomic_load(&ups_images_count); i++) {
        struct ups_image *image = atomic_load(&ups_images[i]);
        if (atomic_load(&image->armed)) ups_points_arm(image, false);
      }
    }
  }
  if (ups_self != NULL) atomic_store(&ups_self->state, UPS_RUNNING);
}
