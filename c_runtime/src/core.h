/*
 * The parts of the core: one group for each file. Included by runtime.h only. What is in update/ sleeps until an update
 * (wake.c).
 */
#ifndef UPS_CORE_H
#define UPS_CORE_H

#pragma GCC visibility push(hidden)

/* ---- memory.c: the runtime's own memory, time, futexes, signal masks ----------------------------------------------- */

/* Zeroed pages, null: none left. All signals blocked, or a context that no handler of the runtime interrupts. any. */
void *ups_map(size_t size);
void ups_unmap(void *memory); /* what ups_map gave; null: nothing */

/* A piece of an arena: 16-aligned, zeroed; null: no memory. The arena belongs to one thread at a time. any. */
void *ups_arena_take(struct ups_chunk **arena, size_t size);
bool ups_arena_reserve(struct ups_chunk **arena, size_t size); /* the next pieces, `size` in all, will not fail. any. */
void ups_arena_reset(struct ups_chunk **arena); /* gives up everything in it, keeps one chunk for the next time. any. */

/* The mappings of ups_map, at most `room` of them; how many there are. agent. */
struct ups_extent {
  uintptr_t low, high;
};
size_t ups_map_list(struct ups_extent *list, size_t room);

/* Around fork: before, all signals blocked; after, in the parent; and in any child. */
void ups_memory_hold(void);
void ups_memory_let_go(void);
void ups_memory_child(void);

/* A lock for a few instructions. Whoever takes it has all signals blocked. any. */
struct ups_lock {
  _Atomic(uint32_t) word;
};
void ups_lock(struct ups_lock *lock);
void ups_unlock(struct ups_lock *lock);

int ups_gettid(void);
void ups_futex_wait(_Atomic(uint32_t) *word, uint32_t value, uint64_t deadline_us); /* deadline 0: none. any. */
void ups_futex_wake(_Atomic(uint32_t) *word, int count);                            /* any. */
uint64_t ups_now_us(void);                                                          /* CLOCK_MONOTONIC. any. */

/* Block every signal but the faults and SIGTRAP; the mask of before goes to `old`. The kernel's sets, unfiltered. any. */
void ups_signals_block(sigset_t *old);
void ups_signals_restore(const sigset_t *old);
void ups_signals_all(sigset_t *set); /* what ups_signals_block blocks. any. */

/* ---- base.c: where every thread of the program starts --------------------------------------------------------------- */

/* Build id and names of the executable's own version. any. */
const struct upstare_image_info *ups_self_info(void);

/* stack.S: calls start(a, b, c) and, each time that this returned because the thread was unrolled, ups_rebuild and what
 * it says on the stack that it says. ups_base_return is the one return address below which there is nothing of the
 * program's. */
uintptr_t ups_base_call(struct ups_thread *self, void *start, uintptr_t a, uintptr_t b, uintptr_t c);
extern const char ups_base_return[];

/* stack.S: fn(a, b, c) on the stack that ends at `high`. */
int ups_call_on(uintptr_t high, int (*fn)(void *, void *, void *), void *a, void *b, void *c);

/* Is it the text of the runtime, awake or asleep? any. */
bool ups_in_runtime(uintptr_t address);

/* ---- wake.c: what stays awake for an update ---------------------------------------------------------------------------- */

int ups_wake_init(void);   /* once, by main's thread: the handler of the reserved signal */
void ups_wake_child(void); /* after fork, in the child */
bool ups_wake(void);       /* makes what sleeps, and the resume clones, text, and binds it; false: it cannot. any. */

extern _Atomic(uint32_t) ups_is_awake; /* for the next one, and cp.S */
/* Whether it has been done. any. */
__attribute__((always_inline)) static inline bool ups_awake(void) {
  return atomic_load_explicit(&ups_is_awake, memory_order_relaxed) != 0;
}
bool ups_in_update(uintptr_t address);

/* ---- threads.c: the registry ---------------------------------------------------------------------------------------- */

extern _Atomic(struct ups_thread *) ups_threads; /* all records, FREE ones included; only ever grows. any. */

int ups_threads_init(void); /* once, by main's thread; registers it. */
void ups_thread_runs(struct ups_thread *self); /* before the thread runs anything of the user's. Own thread. */
struct ups_thread *ups_thread_find(int tid); /* any. */
unsigned ups_threads_count(void);            /* those that live. any. */

/* The thread's own runtime stack exists after this returned true. Own thread, all signals blocked. */
bool ups_thread_scratch(struct ups_thread *self);

/* What a thread has of an update goes with it: its stacks, its frames. Own thread, all signals blocked. */
void ups_thread_leave(struct ups_thread *self);

/* Is this the thread of the record (and not a vfork child or a bare clone with its memory)? Own thread. */
bool ups_thread_is_self(const struct ups_thread *self);

UPS_PUBLIC int upstare_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                                      void *argument);

/* ---- update/frames.c: taking down and building up --------------------------------------------------------------------------- */

/* The thread starts taking itself down. `context`: of the handler that it is in, or null: all signals are blocked and
 * `mask` is that of before. `error`: errno to restore in the end. Own thread. */
void ups_unroll_begin(struct ups_thread *self, ucontext_t *context, const sigset_t *mask, int error, bool storm);

/* Memory for the frames of a stack that was walked. Own thread, before it unrolls. */
bool ups_frames_reserve(struct ups_thread *self);

/* A frame in an arena, not linked yet. Null: no memory (not after ups_frames_reserve). The owner of the arena. */
struct ups_frame *ups_frame_new(struct ups_chunk **arena, uint64_t function, uint32_t point, uint32_t size);
struct ups_frame *ups_frame_copy(struct ups_chunk **arena, const struct ups_frame *from);

/* Notes that the slot at `offset` keeps `size` bytes at `address`, and copies both there (SIZED: the size is in the slot
 * already, and nothing else is copied). The owner of the arena. */
void ups_frame_keep(struct ups_chunk **arena, struct ups_frame *frame, uint32_t offset, uintptr_t address,
                    uint64_t size, uint32_t sort);

/* The pieces of memory that a kept slot is about: index 0, 1, ... until false. `extent` has the one before. any. */
bool ups_kept_extent(const struct ups_thread *thread, const struct ups_kept *kept, unsigned index,
                     struct ups_extent *extent);

/* The frame came down: it is the outermost so far. Own thread. */
void ups_frame_link(struct ups_thread *self, struct ups_frame *frame);

/* The fresh stacks are given back. Own thread, on its own stack, at the end. */
void ups_regions_release(struct ups_thread *self);

struct ups_entry_point {
  void (*function)(void);
  uintptr_t sp;
};
/* From stack.S, at the base, on the thread's runtime stack: waits for the decision if others have a say in it; answers
 * which resume clone to start and where. */
struct ups_entry_point ups_rebuild(struct ups_thread *self);

/* ---- update/points.c: update points ----------------------------------------------------------------------------------------- */

/* The instruction before the one at which `context` goes on is a breakpoint. False: it is none of ours. handler. */
bool ups_point_trapped(ucontext_t *context, int error);

/* Makes the points of an image trap, or not. The number that could not be written. agent, or main's thread at start. */
uint32_t ups_points_arm(struct ups_image *image, bool on);

/* The frame at a point comes down: captured, and `context` goes on with the dummy return. Own thread, unrolling. */
void ups_point_unroll(struct ups_thread *self, ucontext_t *context, const struct ups_image *image,
                      const struct upstare_point *point);

/* ---- update/returns.c: return addresses taken while a stack comes down -------------------------------------------------------- */

/* The walk found that the return address at `slot` leads to `point`. Own thread. */
void ups_return_note(struct ups_thread *self, const struct ups_image *image, const struct upstare_point *point,
                     uintptr_t slot);

/* The stack that was walked comes down. Own thread. */
void ups_returns_take(struct ups_thread *self);

extern const char ups_return_trampoline[]; /* stack.S */

/* ---- update/walk.c ------------------------------------------------------------------------------------------------------------ */

enum ups_walk_result {
  UPS_WALK_COMPLETE,   /* every frame down to the base can be rebuilt; self->positions lists them */
  UPS_WALK_INCOMPLETE, /* self->blocker says why not */
};

/* Walks the stack of the calling thread from a trap at `point` (index into image's points). handler. */
enum ups_walk_result ups_walk_trap(struct ups_thread *self, const ucontext_t *context, const struct ups_image *image,
                                   uint32_t point);

/* Walks it from a function of the runtime that transformed code called: a blocking call, or (`at_point`) a point of the
 * flag scheme. self->positions begins with the caller of the call, or of the function at the point. thread, all signals
 * blocked. */
enum ups_walk_result ups_walk_call(struct ups_thread *self, bool at_point);

/* What a look at any thread's stack says. */
struct ups_glance {
  bool transformed;       /* the interrupted instruction is in transformed code */
  bool only_transformed;  /* so is every frame down to the base */
  bool any_transformed;
  uintptr_t pc;           /* the interrupted instruction */
  uintptr_t blocker;      /* innermost address in code that is not transformed (may be pc), 0: none */
  uintptr_t caller;       /* return address in the innermost transformed frame, 0: none */
};
void ups_walk_glance(const ucontext_t *context, struct ups_glance *glance); /* handler */

void ups_walk_init(void); /* makes the unwinder do everything that it does only once. handler. */

/* ---- stop.c ------------------------------------------------------------------------------------------------------------ */

enum ups_phase { UPS_IDLE = 0, UPS_STOPPING = 1, UPS_STOPPED = 2 };

struct ups_stop {
  _Atomic(uint32_t) phase;   /* enum ups_phase; futex of gated threads. Written by the agent only. */
  _Atomic(uint32_t) changes; /* futex of the agent: a thread changed its state */
  _Atomic(uint32_t) round;   /* futex of the parked and the unrolled: decisions were announced */
  _Atomic(uint64_t) walks, refusals; /* statistics of attempts */
  _Atomic(uint64_t) last_running_us; /* when the last thread was through with rebuilding */
  _Atomic(uint64_t) first_parked_us; /* when the first thread of this stop parked */
};
extern struct ups_stop ups_stop;

/* Threads that the program did not create. The agent asks, their handlers answer. */
enum ups_foreign_status { UPS_FOREIGN_ASKED, UPS_FOREIGN_CLEAR, UPS_FOREIGN_BUSY };
struct ups_foreign {
  _Atomic(int) tid;
  _Atomic(uint32_t) status;
  _Atomic(uintptr_t) blocker, caller;
};
#define UPS_FOREIGN_MOST 256u
extern struct ups_foreign ups_foreign[UPS_FOREIGN_MOST];
extern _Atomic(uint32_t) ups_foreign_count;

/* Does anything want this thread at a point? */
enum ups_want { UPS_WANT_NOTHING, UPS_WANT_STOP, UPS_WANT_STORM };
enum ups_want ups_wanted(struct ups_thread *self); /* own thread, any context */

/* The thread is at a point, its stack is complete, all signals are blocked. True: unroll. Own thread. */
bool ups_park(struct ups_thread *self);
bool ups_attempt_due(struct ups_thread *self, uintptr_t sp);     /* is it time for another walk? Own thread. */
void ups_attempt_failed(struct ups_thread *self, uintptr_t sp, enum ups_want want); /* the walk found a culprit. Own thread. */

void ups_wait_rebuild(struct ups_thread *self); /* at the base: until it is told to rebuild. Own thread. */
void ups_gate(struct ups_thread *self);        /* while there is a stop, the thread does not run. */
void ups_stop_child(void);                     /* after fork, in the child */
void ups_changed(void);                        /* a thread changed its state. any. */

/* ---- update/word.c ------------------------------------------------------------------------------------------------------------ */

/* The socket of the coordinator with this number, or -1; bytes to it; one message, and good-bye. any. */
int ups_call_coordinator(uint64_t nonce);
bool ups_send_all(int fd, const void *bytes, size_t count);
void ups_say(uint64_t nonce, const char *begin, const char *end);

/* ---- update/woken.c ----------------------------------------------------------------------------------------------------------- */

bool ups_woken(void); /* what there is to do once, when the runtime wakes; false: it cannot. All signals blocked. */

/* ---- update/far.c ------------------------------------------------------------------------------------------------------------- */

/* Whatever sleeps may call the C library from now on; false: not all of that is there. All signals blocked. */
bool ups_far_bind(void);

/* ---- update/storm.c ----------------------------------------------------------------------------------------------------------- */

extern uint32_t ups_storm_every; /* 0: none. Set once at start. */
void ups_storm_start(const char *every); /* main's thread, before the program runs. `every`: of the environment */
enum ups_storm_count { UPS_STORM_POINT, UPS_STORM_DONE, UPS_STORM_INCOMPLETE, UPS_STORM_COUNTS };
void ups_storm_count(enum ups_storm_count what); /* while there is a storm. any. */

/* ---- update/agent.c ----------------------------------------------------------------------------------------------------------- */

/* Sent by a coordinator that asks for an agent, not by ourselves. handler. */
static inline bool ups_is_coordinators(const siginfo_t *info) {
  return info->si_code == SI_QUEUE && info->si_value.sival_ptr != NULL;
}
void ups_attended(const siginfo_t *info, ucontext_t *context); /* the reserved signal came. handler. */

void ups_agent_start(void); /* creates the agent if one is wanted and this is a safe place. All signals blocked. */
bool ups_agent_wanted(void);
void ups_agent_child(void); /* after fork, in the child */

/* ---- guest.c: an agent that has no thread ------------------------------------------------------------------------------ */

/* Runs the function in turns with this thread, from now until it returns. False: it has not been begun. A place where
 * the agent could be created. */
bool ups_guest_start(void *(*function)(void *), void *argument);
bool ups_guest_runs(void); /* are we such an agent? any. */
/* Whoever waits or wakes lets the other one run. True: instead of waiting; look again. any. */
bool ups_guest_wait(_Atomic(uint32_t) *word, uint32_t value);
void ups_guest_woken(const _Atomic(uint32_t) *word);
void ups_guest_child(void); /* after fork, in the child */

#pragma GCC visibility pop

#endif
