/*
 * The update: what the agent does. One agent at a time, so nothing here is locked.
 */
#ifndef UPS_UPDATE_H
#define UPS_UPDATE_H

#include "runtime.h"
#include "text.h"

#pragma GCC visibility push(hidden)

/* ---- halt.c: the agent's side of a stop --------------------------------------------------------------------------------- */

enum ups_halt_result { UPS_HALT_DONE, UPS_HALT_TIMED_OUT, UPS_HALT_CALLED_OFF, UPS_HALT_REFUSED };

/* Is a frame at this position acceptable? If not, `why` is told. */
typedef bool ups_vote(const struct ups_position *position, void *argument, struct ups_text *why);

/* Stops all threads of the program, until the deadline (microseconds). Not DONE: they all run again, and the
 * report has the reason and the culprits. */
struct ups_report;
enum ups_halt_result ups_halt_start(uint64_t deadline_us, ups_vote *vote, void *argument, struct ups_report *report);
void ups_halt_cancel(void);  /* everybody goes on as if nothing had been. After DONE. */
void ups_halt_unroll(void);  /* all stacks come down. After DONE. */
void ups_halt_rebuild(void); /* all stacks are built up, everybody goes on. After unroll. */

/* What is stopped: threads and their frames as a JSON list, and how many of them. After DONE. */
struct ups_halt_counts {
  unsigned threads, frames, old_frames;
};
struct ups_halt_counts ups_halt_describe(struct ups_text *list);
void ups_halt_count(struct ups_halt_counts *counts);

/* ---- bind.c -------------------------------------------------------------------------------------------------------------- */

struct link_map;
/* The image of a patch, just loaded, is led to what it shares with the executable. Null: done; else why not. agent. */
const char *ups_bind(const struct link_map *map);

/* ---- agent.c ------------------------------------------------------------------------------------------------------------- */

bool ups_agent_called_off(void); /* the coordinator has gone, or said something while threads were being stopped. agent */

/* ---- names.c ------------------------------------------------------------------------------------------------------------- */

/* Where an address of code is: "getaddrinfo", or "?" */
void ups_name_code(struct ups_text *text, uintptr_t address);
void ups_name_data(struct ups_text *text, uintptr_t address); /* "current_config", "the heap", ... */
void ups_name_position(struct ups_text *text, const struct ups_position *position); /* "serve(), line 120" */

/* ---- scan.c -------------------------------------------------------------------------------------------------------------- */

struct ups_target { /* an object that moves, or ceases to be */
  uintptr_t low, high;
  const char *name, *type; /* type 0: a local variable, whose name says enough */
};

/* Does anything in the stopped program point into one of them? Then `why` says what. All threads unrolled. */
bool ups_scan(const struct ups_target *targets, size_t count, struct ups_text *why);
/* Is this the address at the beginning of a kept slot, which is ours and not the program's? */
bool ups_kept_at(const struct ups_frame *frame, uint32_t offset);

/* ---- history.c ------------------------------------------------------------------------------------------------------------ */

struct ups_event {
  int64_t time; /* seconds since 1970 */
  uint8_t from[32], to[32];
  char from_version[64], to_version[64];
  const char *outcome; /* "updated", "rolled_back", "refused", "timed_out" */
  char reason[256];
  uint64_t pause_us;
};
void ups_history_add(const struct ups_event *event);
void ups_history_pause(uint64_t pause_us); /* of the event that was added last */
void ups_history_describe(struct ups_text *list); /* a JSON list, oldest first */

/* ---- update.c -------------------------------------------------------------------------------------------------------------- */

struct ups_report {
  const char *kind;      /* null: done. "refused", "not_now" (soon it may be otherwise), "timed_out", "in_flight", "error" */
  struct ups_text reason;
  struct ups_text culprits; /* JSON objects with commas between */
  bool in_libraries;        /* all of them are in a library's function that the program called */
  struct ups_text detail;   /* JSON list */
  struct ups_halt_counts counts;
  uint64_t load_us, stop_us, transform_us, resume_us, pause_us;
  unsigned moved, checks;
};

/* ---- update/load.c -------------------------------------------------------------------------------------------------------------- */

/* The new image that is in a file, loaded now or before. Null: `why`, and nothing is left of it. */
struct ups_image *ups_load(int fd, const char **why);
/* The twin of the version that runs, from a file, unless it is there or not needed. Null: done; else why not. */
const char *ups_load_twin(int fd);

/* ---- update/constants.c ---------------------------------------------------------------------------------------------------- */

struct ups_transition;
/* Does a frame lead to a constant that is not the same in the target version? Then `why` says which. All threads unrolled. */
bool ups_constants_held(const struct ups_transition *transition, struct ups_text *why);

/* ---- update/map.c --------------------------------------------------------------------------------------------------------------- */

struct ups_transition {
  struct ups_image *target;
  const struct upstare_patch *patch;
  const struct upstare_direction *direction; /* of the patch */
  bool backward;
};

/* Has a frame at this position a continuation? The argument is the transition. */
bool ups_map_vote(const struct ups_position *position, void *argument, struct ups_text *why);
/* New frames and moved objects, beside the old ones. All threads unrolled. False: the report has the reason. */
bool ups_map_all(const struct ups_transition *transition, struct ups_report *report);
/* Is nothing on its way that the target version would not understand? Else the report has kind and reason. After
 * ups_map_all, and only when all processes of the update stand still. */
bool ups_map_check(const struct ups_transition *transition, struct ups_report *report);
void ups_map_adopt(void); /* the new frames take the old ones' place. Cannot fail. After ups_map_all. */

/* ---- The verbs ----------------------------------------------------------------------------------------------------------- */

void ups_report_free(struct ups_report *report);

/* The verbs, in the order IDLE -> load -> LOADED -> stop -> PREPARED (-> check) -> commit -> IDLE. What fails puts the process back
 * to IDLE with the old version running and report->kind set. */
void ups_update_load(int fd, struct ups_report *report);
void ups_update_load_twin(int fd, struct ups_report *report); /* before that, where ups_image_clones() is null */
void ups_update_load_previous(struct ups_report *report);
void ups_update_stop(uint64_t deadline_us, int ballot, struct ups_report *report);
void ups_update_check(struct ups_report *report); /* PREPARED: a no is cast for all */
void ups_update_commit(struct ups_report *report);
bool ups_update_abort(struct ups_report *report); /* true: too late, it was committed; the report says how it went */
void ups_update_cancel(const char *why);          /* from any state. PREPARED: the ballot has the last word */
bool ups_update_prepared(void);
void ups_update_look(void); /* PREPARED: has another process decided? Then so it is here */
void ups_update_child(void); /* this is a fork: what its parent was doing does not count */
void ups_update_glance(uint64_t deadline_us, struct ups_report *report); /* stops, looks, lets go. IDLE only. */

#pragma GCC visibility pop

#endif
