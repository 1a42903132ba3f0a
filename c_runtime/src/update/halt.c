/*
 * Stopping the threads: the side of the agent. See stop.c for the side of a thread and the barriers.
 *
 * init      phase STOPPING, points armed, every thread's attention word set, every thread signalled
 * try       are all threads parked, or where they run nothing of the program's? Does every frame have a continuation?
 * complete  phase STOPPED: from here on only the agent moves anything
 * cancel    phase IDLE, points disarmed, every parked thread told to go on
 *
 * Threads that the program did not create (a library's) are looked at when all others are parked: if nothing of the
 * program is on their stack they are left alone. Window: such a thread may call back into the program after that; at
 * its first point it finds that it cannot be rebuilt and goes on, in the old version's code.
 */
#define _GNU_SOURCE
#include <dirent.h>

#include "blocking.h"
#include "proc.h"
#include "update.h"

#define VOTE_PATIENCE_US 200000u /* how long threads may move on from a position without a continuation */
#define VOTE_FIRST_US 1000u
#define REPORT_PATIENCE_US 20000u
#define NUDGE_US 50000u
#define LISTEN_US 10000u /* how long the coordinator may wait to be heard */
#define FOREIGN_PATIENCE_US 50000u

/* A thread of a library; written by its own handler (on_attention in agent.c) and by the agent. */
struct ups_foreign ups_foreign[UPS_FOREIGN_MOST];
_Atomic(uint32_t) ups_foreign_count;

static int agent_tid;

static void announce(void) {
  atomic_fetch_add(&ups_stop.round, 1);
  ups_futex_wake(&ups_stop.round, INT_MAX);
}

static void signal_thread(int tid) {
  if (tid != 0) syscall(SYS_tgkill, getpid(), tid, UPS_SIGNAL);
}

static void call_attention(struct ups_thread *t) {
  atomic_fetch_or(&t->attention, UPS_ATTENTION_STOP);
  signal_thread(atomic_load(&t->tid));
}

static uint32_t state_of(struct ups_thread *t) {
  return atomic_load(&t->state);
}

/* The first thread that still runs, null: none. */
static struct ups_thread *running(void) {
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next)
    if (state_of(t) == UPS_RUNNING) return t;
  return NULL;
}

static uint32_t arm(bool on) {
  uint32_t failed = 0;
  if (ups_storm_every != 0) return 0; /* armed, and to stay so */
  upstare_flag = on;
  for (uint32_t i = 0; i < atomic_load(&ups_images_count); i++) {
    struct ups_image *image = atomic_load(&ups_images[i]);
    /* Older versions too: if a thread is in one after all, it shall find out that it cannot be stopped there. */
    if (on ? image->has_run : atomic_load(&image->armed) != 0) failed += ups_points_arm(image, on);
  }
  return failed;
}

/* Wait until a thread changes its state, at most until `until`. `seen`: the count from before the last look. */
static void wait_change(uint32_t seen, uint64_t until) {
  if (ups_now_us() < until) ups_futex_wait(&ups_stop.changes, seen, until);
}

/* ---- Threads of libraries ------------------------------------------------------------------------------------------------ */

struct directory_entry { /* of getdents64 */
  uint64_t inode;
  int64_t offset;
  unsigned short length;
  unsigned char type;
  char name[];
};

static void add_foreign(int tid) {
  uint32_t n = atomic_load(&ups_foreign_count);
  if (n == UPS_FOREIGN_MOST) return;
  atomic_store(&ups_foreign[n].status, UPS_FOREIGN_ASKED);
  atomic_store(&ups_foreign[n].tid, tid);
  atomic_store(&ups_foreign_count, n + 1);
}

/* `all` false: only counts the threads that there are. */
static unsigned list_tasks(bool all) {
  alignas(8) char buffer[4096];
  long length;
  unsigned count = 0;
  int fd = ups_proc_open("task", O_RDONLY | O_DIRECTORY);
  if (fd < 0) return 0;
  while ((length = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
    for (long at = 0; at < length;) {
      const struct directory_entry *entry = (const struct directory_entry *)(buffer + at);
      int tid = 0;
      for (const char *c = entry->name; *c >= '0' && *c <= '9'; c++) tid = tid * 10 + (*c - '0');
      count += tid != 0;
      if (all && tid != 0 && tid != agent_tid && ups_thread_find(tid) == NULL) add_foreign(tid);
      at += entry->length;
    }
  }
  close(fd);
  return count;
}

/* Those of the program that have begun. */
static unsigned known_tasks(void) {
  unsigned count = 0;
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next)
    count += state_of(t) != UPS_FREE && atomic_load(&t->tid) != 0;
  return count;
}

/*
 * A thread that is gone, or sleeps with the reserved signal blocked, does not answer, and is left alone. (One that runs
 * with it blocked may just be in a handler of ours: it will answer in a moment.)
 */
static bool foreign_deaf(int tid, bool patient) {
  char path[40], text[4096];
  snprintf(path, sizeof path, "task/%d/status", tid);
  int fd = ups_proc_open(path, O_RDONLY);
  if (fd < 0) return true;
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  if (length <= 0) return true;
  text[length] = 0;
  const char *state = strstr(text, "State:\t"), *blocked = strstr(text, "SigBlk:\t");
  if (state == NULL || blocked == NULL) return false;
  if ((strtoull(blocked + 8, NULL, 16) >> (UPS_SIGNAL - 1) & 1) == 0) return false;
  return patient ? true : state[7] != 'R';
}

/* True: no library's thread has a frame of the program's. */
static bool foreign_clear(uint64_t deadline, struct ups_foreign **culprit) {
  *culprit = NULL;
  atomic_store(&ups_foreign_count, 0);
  if (list_tasks(false) <= known_tasks() + 1) return true; /* the agent is the only one more */
  list_tasks(true);
  uint32_t n = atomic_load(&ups_foreign_count);
  for (uint32_t i = 0; i < n; i++) signal_thread(atomic_load(&ups_foreign[i].tid));
  uint64_t patience = ups_now_us() + FOREIGN_PATIENCE_US;
  for (uint32_t i = 0; i < n; i++) {
    struct ups_foreign *f = &ups_foreign[i];
    for (;;) {
      uint32_t seen = atomic_load(&ups_stop.changes);
      uint32_t status = atomic_load(&f->status);
      if (status == UPS_FOREIGN_CLEAR) break;
      if (status == UPS_FOREIGN_BUSY) {
        *culprit = f;
        return false;
      }
      uint64_t now = ups_now_us();
      if (foreign_deaf(atomic_load(&f->tid), now > patience)) break;
      if (now >= deadline) {
        *culprit = f;
        return false;
      }
      wait_change(seen, now + 2000 < deadline ? now + 2000 : deadline);
    }
  }
  return true;
}

/* ---- The vote -------------------------------------------------------------------------------------------------------------- */

/* Can the thread be taken down where it is? If not, `why` is told. */
static bool consents(struct ups_thread *t, ups_vote *vote, void *argument, struct ups_text *why) {
  for (uint32_t i = 0; i < t->n_positions; i++) {
    ups_text_clear(why);
    ups_text_add(why, "thread %d is in ", atomic_load(&t->tid));
    if (!vote(&t->positions[i], argument, why)) return false;
  }
  ups_text_clear(why);
  return true;
}

/* Those with a frame that has no continuation go on for a little, to get to another place. True: there are none. If
 * not, `why` names one of them. */
static bool all_consent(ups_vote *vote, void *argument, uint64_t pause, struct ups_text *why) {
  struct ups_text other = {0};
  bool all = true;
  for (struct ups_thread *t = atomic_load(&ups_threads); vote != NULL && t != NULL; t = t->next) {
    uint32_t parked = UPS_PARKED;
    if (state_of(t) != UPS_PARKED || consents(t, vote, argument, all ? why : &other)) continue;
    all = false;
    if (pause == 0 || !atomic_compare_exchange_strong(&t->state, &parked, UPS_RUNNING)) continue;
    atomic_store(&t->decision, UPS_GO_ON);
  }
  ups_text_free(&other);
  if (all || pause == 0) return all;
  announce();
  uint64_t until = ups_now_us() + pause;
  while (ups_now_us() < until && running() != NULL) {
    uint32_t seen = atomic_load(&ups_stop.changes);
    wait_change(seen, until);
  }
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next)
    if (state_of(t) == UPS_RUNNING) call_attention(t);
  return false;
}

/* ---- Culprits --------------------------------------------------------------------------------------------------------------- */

static void add_culprit(struct ups_report *report, int tid, uintptr_t blocker, uintptr_t caller) {
  struct ups_text *why = &report->reason, *list = &report->culprits;
  bool in_library = blocker != 0 && caller != 0;
  report->in_libraries = in_library && (list->length == 0 || report->in_libraries);
  ups_text_add(list, "%s{\"tid\":%d,\"pc\":\"%lx\",\"caller\":\"%lx\"}", list->length != 0 ? "," : "", tid,
               (unsigned long)blocker, (unsigned long)caller);
  ups_text_add(why, "thread %d is in ", tid);
  if (in_library) {
    ups_name_code(why, blocker);
    ups_text_add(why, ", called from ");
    ups_name_code(why, caller);
    ups_text_add(why, "()");
  } else if (caller != 0) {
    ups_name_code(why, caller);
    const struct ups_image *image = ups_image_at(caller);
    ups_text_add(why, image != NULL && !ups_image_is_current(image) ? "(), which is of an older version"
                                                                    : "(), where it reached no update point");
  } else if (blocker != 0) {
    ups_name_code(why, blocker);
    ups_text_add(why, ", with nothing of the program below it");
  } else {
    ups_text_add(why, "code that nobody knows");
  }
}

/* Ask those that still run where they are (their handlers answer), and say it. */
static void blame_running(struct ups_report *report) {
  uint64_t until = ups_now_us() + REPORT_PATIENCE_US;
  bool first = true;
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next) {
    atomic_store(&t->reported, 0);
    if (state_of(t) == UPS_RUNNING) signal_thread(atomic_load(&t->tid));
  }
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next) {
    if (state_of(t) != UPS_RUNNING) continue;
    while (atomic_load(&t->reported) == 0 && ups_now_us() < until) {
      uint32_t seen = atomic_load(&ups_stop.changes);
      if (atomic_load(&t->reported) == 0) wait_change(seen, until);
    }
    if (state_of(t) != UPS_RUNNING) continue;
    uintptr_t blocker = atomic_load(&t->blocker), caller = atomic_load(&t->blocker_caller);
    if (!first) ups_text_add(&report->reason, "; ");
    first = false;
    add_culprit(report, atomic_load(&t->tid), blocker, caller);
  }
}

/* ---- The verbs ---------------------------------------------------------------------------------------------------------------- */

void ups_halt_cancel(void) {
  atomic_store(&ups_stop.phase, UPS_IDLE); /* pairs with ups_park and ups_gate */
  arm(false);
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next) {
    uint32_t parked = UPS_PARKED;
    if (atomic_compare_exchange_strong(&t->state, &parked, UPS_RUNNING)) atomic_store(&t->decision, UPS_GO_ON);
  }
  announce();
  ups_futex_wake(&ups_stop.phase, INT_MAX);
}

static bool init(struct ups_text *why) {
  agent_tid = ups_gettid();
  atomic_store(&ups_stop.first_parked_us, 0);
  atomic_store(&ups_stop.walks, 0);
  atomic_store(&ups_stop.refusals, 0);
  atomic_store(&ups_stop.phase, UPS_STOPPING); /* before any state is read */
  uint32_t failed = arm(true);
  if (failed != 0) {
    ups_text_add(why, "the system does not let %u update points be written", failed);
    return false;
  }
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next)
    if (state_of(t) == UPS_RUNNING) call_attention(t);
  return true;
}

enum ups_halt_result ups_halt_start(uint64_t deadline_us, ups_vote *vote, void *argument, struct ups_report *report) {
  struct ups_text *why = &report->reason;
  uint64_t vote_until = 0, pause = VOTE_FIRST_US, nudge = ups_now_us() + NUDGE_US;
  enum ups_halt_result result = UPS_HALT_REFUSED;
  if (!init(why)) goto cancel;
  for (;;) {
    uint32_t seen = atomic_load(&ups_stop.changes);
    uint64_t now = ups_now_us();
    struct ups_foreign *foreign = NULL;
    result = UPS_HALT_CALLED_OFF;
    if (ups_agent_called_off()) goto cancel;
    result = UPS_HALT_TIMED_OUT;
    if (running() != NULL) {
      if (now >= deadline_us) {
        blame_running(report);
        goto cancel;
      }
      /* A thread that found itself where it could not be left is asked again: it may wait for one that is parked. */
      if (now >= nudge) {
        for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next)
          if (state_of(t) == UPS_RUNNING) call_attention(t);
        nudge = now + NUDGE_US;
      }
      uint64_t glance = now + LISTEN_US < nudge ? now + LISTEN_US : nudge;
      wait_change(seen, glance < deadline_us ? glance : deadline_us);
    } else if (!all_consent(vote, argument, now < vote_until || vote_until == 0 ? pause : 0, why)) {
      result = UPS_HALT_REFUSED;
      if (vote_until == 0) vote_until = now + VOTE_PATIENCE_US < deadline_us ? now + VOTE_PATIENCE_US : deadline_us;
      if (now >= vote_until) goto cancel;
      ups_text_clear(why);
      pause *= 2;
    } else if (!foreign_clear(deadline_us, &foreign)) {
      if (now >= deadline_us) {
        add_culprit(report, atomic_load(&foreign->tid), atomic_load(&foreign->blocker), atomic_load(&foreign->caller));
        goto cancel;
      }
      wait_change(seen, now + 1000);
    } else {
      break;
    }
  }
  atomic_store(&ups_stop.phase, UPS_STOPPED);
  ups_futex_wake(&ups_stop.phase, INT_MAX); /* those at the gate wait for the next change */
  return UPS_HALT_DONE;
cancel:
  ups_halt_cancel();
  return result;
}

/* All threads of one state get to another, each told the same. */
static void move_all(uint32_t from, uint32_t between, uint32_t to, enum ups_decision decision) {
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next) {
    if (state_of(t) != from) continue;
    atomic_store(&t->state, between);
    atomic_store(&t->decision, decision);
  }
  announce();
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next) {
    for (;;) {
      uint32_t seen = atomic_load(&ups_stop.changes);
      uint32_t state = state_of(t);
      if (state != between || state == to) break;
      ups_futex_wait(&ups_stop.changes, seen, 0);
    }
  }
}

void ups_halt_unroll(void) {
  move_all(UPS_PARKED, UPS_UNROLLING, UPS_UNROLLED, UPS_UNROLL);
}

void ups_halt_rebuild(void) {
  struct ups_image *current = atomic_load(&ups_current), *twin = atomic_load(&current->twin);
  if (twin != NULL) twin->has_run = true; /* it will have, when threads go on in its resume clones */
  arm(false);
  atomic_store(&ups_stop.phase, UPS_IDLE);
  move_all(UPS_UNROLLED, UPS_REBUILDING, UPS_RUNNING, UPS_REBUILD);
  ups_futex_wake(&ups_stop.phase, INT_MAX);
}

struct ups_halt_counts ups_halt_describe(struct ups_text *list) {
  struct ups_halt_counts counts = {0, 0, 0};
  const struct ups_image *image = atomic_load(&ups_current);
  ups_text_add(list, "[");
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next) {
    uint32_t state = state_of(t);
    if (state == UPS_FREE) continue;
    ups_text_add(list, "%s{\"tid\":%d,\"frames\":[", counts.threads++ ? "," : "", atomic_load(&t->tid));
    for (uint32_t i = 0; state == UPS_PARKED && i < t->n_positions; i++) {
      const struct ups_position *p = &t->positions[i];
      const struct upstare_point *point = ups_image_point_of(image, p->function, p->point);
      counts.frames++;
      ups_text_add(list, "%s{\"function\":", i ? "," : "");
      ups_text_quote(list, ups_image_name(image, p->function));
      ups_text_add(list, ",\"point\":%u,\"line\":%u,\"phase\":\"%s\"}", p->point, point ? point->line : 0,
                   p->phase == UPSTARE_AFTER ? "after" : "in call");
    }
    if (state == UPS_PARKED) counts.old_frames += t->old_frames;
    ups_text_add(list, "]}");
  }
  ups_text_add(list, "]");
  return counts;
}

void ups_halt_count(struct ups_halt_counts *counts) {
  *counts = (struct ups_halt_counts){0, 0, 0};
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next) {
    uint32_t state = state_of(t);
    counts->threads += state != UPS_FREE;
    if (state != UPS_PARKED) continue;
    counts->frames += t->n_positions;
    counts->old_frames += t->old_frames;
  }
}
