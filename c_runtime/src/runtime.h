/*
 * What crosses files inside the runtime. Generated code sees upstare_abi.h only.
 *
 * Contexts: "handler" = may run in a signal handler of the runtime (all signals blocked), so: system calls, atomics,
 * the runtime's own memory, nothing of the program's. "thread" = a registered thread in normal context. "agent" = the
 * agent thread. "any" = all of these.
 */
#ifndef UPS_RUNTIME_H
#define UPS_RUNTIME_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "upstare_abi.h"

/* What generated code and users reach; everything else in the runtime is hidden (-fvisibility=hidden). */
#define UPS_PUBLIC __attribute__((visibility("default")))

/* Sleeps until an update, as what is in update/ does. */
#define UPS_ASLEEP __attribute__((noinline, section("upstare_update")))

#define UPS_SIGNAL 63 /* the reserved signal: SIGRTMAX - 1. Never blocked in transformed code; nor is SIGTRAP. */

/* Frames of the runtime itself (blocking calls) have function ids below this, the same in every version. */
#define UPS_RUNTIME_IDS 4096u

/* ---- A position in the program, and a frame -------------------------------------------------------------------------- */

struct ups_position {
  uint64_t function;
  uint32_t point, phase; /* enum upstare_phase */
};

/* A return address on the stack, with a point right behind the call. */
struct ups_return {
  uintptr_t slot;
  const struct ups_image *image;
  const struct upstare_point *point;
};

/* An object that keeps its address. Its bytes stay where they are while the thread is unrolled (nothing of the runtime
 * ever writes into the part of a stack that may hold one); the copy in the frame data is for mappings. */
struct ups_kept {
  struct ups_kept *next; /* of the same frame */
  uintptr_t address;
  uint64_t size;
  uint32_t offset; /* of its slot in the frame data */
  uint16_t sort;   /* enum upstare_sort: what else is kept with it */
  bool changed;    /* a mapping wrote other bytes into the slot: they go to the object */
};

struct ups_frame {
  struct ups_frame *outer, *inner;
  struct ups_position position;
  uint32_t size;
  uint32_t part; /* of the chunk that was captured last */
  struct ups_kept *kept;
  unsigned char *data; /* 16-aligned */
};

/* ---- Threads ------------------------------------------------------------------------------------------------------ */

/*
 * Who writes: the thread itself, except where said. Transitions:
 *   FREE -> STARTING        creator (registry lock)
 *   STARTING -> RUNNING     thread; then it looks at the gate (see stop.c for the barrier)
 *   RUNNING -> PARKED       thread, at a point or in a blocking call, all signals blocked, its stack walked and complete
 *   RUNNING -> GATED        thread, before it runs anything of the user's
 *   PARKED -> RUNNING       agent, before it says GO_ON; or the thread that finds the stop called off
 *   PARKED -> UNROLLING     agent, before it says UNROLL
 *   UNROLLING -> UNROLLED   thread, at its base
 *   UNROLLED -> REBUILDING  agent, before it says REBUILD
 *   REBUILDING -> RUNNING   thread, when its innermost frame goes on
 *   * -> FREE               thread, last thing in its life
 */
enum ups_state {
  UPS_FREE = 0,
  UPS_STARTING,
  UPS_RUNNING,
  UPS_GATED,
  UPS_PARKED,
  UPS_UNROLLING,
  UPS_UNROLLED,
  UPS_REBUILDING,
};

/* What a parked or unrolled thread is told (written by the agent). */
enum ups_decision { UPS_WAIT = 0, UPS_GO_ON, UPS_UNROLL, UPS_REBUILD };

/* Bits of ups_thread.attention. */
enum ups_attention { UPS_ATTENTION_STOP = 1, UPS_ATTENTION_AGENT = 2 };

struct ups_chunk; /* memory.c */
struct ups_image; /* images.h */

/* A piece of address space that the thread's frames can live in: [low, high). */
struct ups_region {
  uintptr_t low, high;
};
#define UPS_REGIONS 8 /* [0] is the thread's own stack, the rest are fresh ones (high == 0: unused) */

struct ups_thread {
  /* Offsets known to arch/<cpu>/stack.S; checked in base.c. */
  _Atomic(uint32_t) unrolling; /* the dummy returns are being taken; own thread only */
  uint32_t storming;           /* this unrolling is the thread's own storm; nobody waits for it */
  uintptr_t scratch_high;      /* top of the runtime's own stack for this thread, 16-aligned; 0: none yet */
  uintptr_t base_sp;           /* just above everything of the program's on the thread's own stack; set by stack.S */

  uintptr_t scratch_low;

  /* Read in the restartable region before each blocking system call. Set by the agent or by the handler of UPS_SIGNAL
   * of the same thread; cleared by ups_blocking_stop. Nonzero: call ups_blocking_stop. */
  _Atomic(uint32_t) attention;
  bool owes_stop; /* a call that could not be stopped in goes on; attention is called again when it has ended. Own thread */

  _Atomic(uint32_t) state; /* enum ups_state */
  struct ups_thread *next; /* in the registry; set once */

  /* Memory that stays with the record: frames (emptied when the next unrolling begins), and the last walk. */
  struct ups_chunk *arena;
  struct ups_position *positions;
  struct ups_return *returns; /* the return addresses that returns.c can take */
  uint32_t room_positions, room_returns;

  /* From here on all is zero in a new thread (take in threads.c). */
  _Atomic(uint32_t) decision; /* enum ups_decision; see ups_stop.round */
  _Atomic(int) tid;

  /* Start. */
  bool is_main;
  void *(*start)(void *);
  void *argument;
  size_t stack_size, guard_size; /* as created */
  uintptr_t stack_low;           /* given by the user in the attributes, else 0 */
  bool started;                  /* the program's code has run in it */
  uint32_t destructor_rounds;    /* of thread-specific data, so that ours is the last */

  /* The unrolled stack. Own thread, or the agent while state is UNROLLED. */
  struct ups_frame *outermost, *innermost, *cursor;
  struct ups_frame *mapped; /* by the agent: the new frames, outermost first, before they take the others' place */
  struct ups_frame *partial; /* of a point in several chunks, while the stack comes down */
  sigset_t mask;             /* of the program, while all signals are blocked */
  stack_t alternate;         /* the program's alternate signal stack, meanwhile */
  int error;                 /* errno of the program, meanwhile */

  /* The last walk of this stack. Own thread, or the agent while state is PARKED. Innermost first. */
  uint32_t n_positions, n_returns, next_return;
  uint32_t old_frames;         /* those that are not of the current version */
  uintptr_t walk_sp;           /* stack pointer where the walk began */
  size_t walk_bytes;           /* memory that the frames will need */

  /* Why the last walk was not complete; read by the agent for messages (racy words, each of them atomic). */
  _Atomic(uintptr_t) blocker;        /* an address in the culprit */
  _Atomic(uint32_t) reported;        /* by the handler of UPS_SIGNAL since the agent cleared it */
  uint64_t told;                     /* the coordinator that knows where this thread is */
  _Atomic(uintptr_t) blocker_caller; /* the return address in the nearest transformed caller, or 0 */
  uintptr_t blocker_sp;              /* its frame: nothing changes while the stack is deeper than this */
  uint32_t skips, backoff;           /* attempts to skip until the next walk */

  struct ups_region regions[UPS_REGIONS];

  uint64_t storm_count;
};

/* The calling thread's record; null in threads that the runtime did not create (and in the agent). any. */
extern _Thread_local struct ups_thread *ups_self __attribute__((tls_model("local-exec")));

/* ---- Blocking calls (implemented by the files of blocking calls) ---------------------------------------------------
 *
 * A blocking call `upstare_<name>`, roughly:
 *
 *     fresh call:   if (ups_blocking_point()) goto unroll;
 *     wait:         r = restartable system call, with &ups_self->attention as its word
 *                   if (it was told to stop) { if (ups_blocking_stop()) goto unroll; goto wait with the rest; }
 *                   return r;
 *     unroll:       memcpy(ups_frame_push(UPS_CALL_<X>, 0, sizeof call), &call, sizeof call); return 0;   (a dummy)
 *
 * and its "resume clone", called with the frame as the one to resume, no arguments, returns the call's value:
 *
 *     memcpy(&call, upstare_resume_begin(&point, &phase), sizeof call);
 *     goto wait;
 *
 * It copies at once: the data dies with the next unrolling, and signals are unblocked again in upstare_resume_begin.
 *
 * Where ups_self is null (a thread of a library calls back into the program) the call is just made.
 */

/* A fresh blocking call begins: a point. True: unroll (push a frame, return a dummy). thread, not handler. */
bool ups_blocking_point(void);

/* The attention word is set. Parks if a stop wants it. True: unroll; false: go on with the call. Preserves errno.
 * thread, called from a function of the runtime that transformed code called, no lock held. */
bool ups_blocking_stop(void);

/* A frame of the runtime, innermost; data zeroed, 16-aligned, filled in by the caller before it returns. thread, after
 * ups_blocking_point or ups_blocking_stop returned true. */
unsigned char *ups_frame_push(uint64_t function, uint32_t point, uint32_t size);

/* The other direction (what the core calls when it meets a blocking call) is blocking.h: ups_blocking_classify,
 * ups_blocking_set_stop, ups_blocking_resume, ups_blocking_name. */

extern const char *ups_preloaded __attribute__((visibility("hidden"))); /* LD_PRELOAD when the process began; may be null */

#include "core.h" /* the parts of the core */
#include "images.h"

#pragma GCC visibility push(hidden)

/* The runtime never ends the program, never writes for it, never takes its memory. */
#pragma GCC poison exit abort _exit _Exit printf fprintf puts perror assert malloc calloc realloc free

#pragma GCC visibility pop

#endif
