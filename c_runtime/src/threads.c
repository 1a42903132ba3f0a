/*
 * The registry of the program's threads.
 *
 * Records are never given back, only used again, so the list can be read without a lock, in handlers too, and grows
 * without one. A record is taken by the one who moves its state from FREE to STARTING.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/resource.h>

#include "direct.h"
#include "runtime.h"

#define RECORDS 16            /* made at a time */
#define SCRATCH_BYTES 131072u /* of the runtime's stack for a thread; touched are a few pages */
#define UNLIMITED_STACK ((uintptr_t)64 << 20)

_Atomic(struct ups_thread *) ups_threads;

static struct ups_thread main_thread = {.is_main = true, .reported = 1, .state = UPS_STARTING};
static pthread_key_t exit_key;
static bool ready;
static sigset_t fork_mask;
static bool held; /* around the fork that is under way */
static uint32_t *same_process; /* 1; the kernel makes it 0 in a process that begins as a copy of ours. May be null */

static struct ups_thread *take_free(void) {
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next) {
    uint32_t state = UPS_FREE;
    if (atomic_load_explicit(&t->state, memory_order_relaxed) == UPS_FREE &&
        atomic_compare_exchange_strong(&t->state, &state, UPS_STARTING))
      return t;
  }
  return NULL;
}

/* The list grows. */
static struct ups_thread *take_new(void) {
  struct ups_thread *block =
      mmap(NULL, RECORDS * sizeof *block, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (block == MAP_FAILED) return NULL;
  atomic_store_explicit(&block[0].state, UPS_STARTING, memory_order_relaxed);
  for (int i = 0; i < RECORDS - 1; i++) block[i].next = &block[i + 1];
  struct ups_thread *others = atomic_load(&ups_threads);
  do
    block[RECORDS - 1].next = others;
  while (!atomic_compare_exchange_weak(&ups_threads, &others, block)); /* publishes the records */
  return block;
}

static struct ups_thread *take(void) {
  struct ups_thread *self = take_free();
  if (self == NULL) self = take_new();
  if (self == NULL) return NULL;
  /* Nobody looks at these before the state says that it runs. */
  atomic_store_explicit(&self->unrolling, 0, memory_order_relaxed);
  atomic_store_explicit(&self->attention, 0, memory_order_relaxed);
  self->owes_stop = false;
  self->storming = 0;
  self->base_sp = 0;
  size_t kept = offsetof(struct ups_thread, decision);
  memset((char *)self + kept, 0, sizeof *self - kept);
  atomic_store_explicit(&self->reported, 1, memory_order_relaxed);
  return self;
}

static void give_back(struct ups_thread *self) {
  atomic_store(&self->state, UPS_FREE); /* before we look: whoever wakes the runtime from now on sees it */
  if (ups_awake()) ups_changed(); /* a stop may have been waiting for this thread */
}

struct ups_thread *ups_thread_find(int tid) {
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next)
    if (atomic_load(&t->state) != UPS_FREE && atomic_load(&t->tid) == tid) return t;
  return NULL;
}

unsigned ups_threads_count(void) {
  unsigned count = 0;
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next)
    count += atomic_load(&t->state) != UPS_FREE;
  return count;
}

bool ups_thread_scratch(struct ups_thread *self) {
  if (self->scratch_high != 0) return true;
  unsigned char *low = ups_map(SCRATCH_BYTES);
  if (low == NULL) return false;
  self->scratch_low = (uintptr_t)low;
  self->scratch_high = ((uintptr_t)low + SCRATCH_BYTES) & ~(uintptr_t)63;
  return true;
}

static void begin_process(void) {
  ups_memory_child();
  ups_wake_child();
  for (struct ups_thread *t = atomic_load(&ups_threads); t != NULL; t = t->next) {
    if (t == ups_self) continue;
    atomic_store(&t->state, UPS_FREE);
  }
  if (ups_self != NULL) {
    atomic_store(&ups_self->tid, ups_gettid());
    atomic_store(&ups_self->attention, 0);
  }
  if (same_process != NULL) *same_process = 1;
  if (ups_awake()) {
    ups_stop_child();
    ups_agent_child();
  }
}

/* A process that was made by the system call alone (clone with new name spaces, for one) finds out here that it is one:
 * nobody has told it. A vfork child has our memory. */
bool ups_thread_is_self(const struct ups_thread *self) {
  if (atomic_load_explicit(&self->tid, memory_order_relaxed) == ups_gettid()) return true;
  if (self != ups_self || same_process == NULL || *same_process != 0) return false;
  sigset_t mask;
  ups_signals_block(&mask);
  begin_process();
  ups_signals_restore(&mask);
  return true;
}

/*
 * The end of a thread. Destructors of thread-specific data run in rounds; ours comes last, because those of the
 * program are transformed code. Until then the thread counts as running.
 */
static void thread_end(void *argument) {
  struct ups_thread *self = argument;
  if (++self->destructor_rounds < PTHREAD_DESTRUCTOR_ITERATIONS && pthread_setspecific(exit_key, self) == 0) return;
  sigset_t mask;
  ups_signals_block(&mask); /* a handler of ours must not find a record that is somebody else's by now */
  ups_self = NULL;
  if (ups_awake()) ups_thread_leave(self);
  give_back(self);
  ups_signals_restore(&mask);
}

UPS_ASLEEP void ups_thread_leave(struct ups_thread *self) {
  ups_regions_release(self);
  ups_arena_reset(&self->arena);
}

void ups_thread_runs(struct ups_thread *self) {
  atomic_store(&self->state, UPS_RUNNING); /* before we look, as above */
  if (ups_awake()) ups_gate(self);
}

/* Where the stack of a thread ends, from below: glibc puts the thread's control block at the top of the block that it
 * allocated (stack_size includes the guard). */
static void find_stack(struct ups_thread *self) {
  struct ups_region *own = &self->regions[0];
  own->high = (uintptr_t)__builtin_frame_address(0);
  if (self->stack_low != 0) {
    own->low = self->stack_low;
    return;
  }
  uintptr_t end = ((uintptr_t)pthread_self() + 4096) & ~(uintptr_t)4095;
  own->low = self->stack_size < end ? end - self->stack_size + self->guard_size + 4096 : own->high;
  if (own->low > own->high) own->low = own->high;
}

static void find_main_stack(struct ups_thread *self) {
  struct rlimit limit;
  struct ups_region *own = &self->regions[0];
  uintptr_t size = UNLIMITED_STACK;
  own->high = (uintptr_t)__builtin_frame_address(0);
  if (ups_direct(SYS_prlimit64, 0, RLIMIT_STACK, 0, (long)&limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < UNLIMITED_STACK)
    size = limit.rlim_cur;
  /* What is above us already (arguments, environment) counts too. */
  size = size > 262144 ? size - 131072 : size / 2;
  own->low = own->high - size;
}

/* The first thing of ours in every thread of the program. */
static void *thread_start(void *argument) {
  struct ups_thread *self = argument;
  void *(*start)(void *) = self->start;
  void *start_argument = self->argument;
  ups_self = self;
  atomic_store(&self->tid, ups_gettid());
  find_stack(self);
  if (pthread_setspecific(exit_key, self) != 0) { /* then nobody would sign it off: it is a thread that we do not know */
    ups_self = NULL;
    give_back(self);
    return start(start_argument);
  }
  ups_thread_runs(self);
  return (void *)ups_base_call(self, (void *)(uintptr_t)start, (uintptr_t)start_argument, 0, 0);
}

static void note_attributes(struct ups_thread *self, const pthread_attr_t *attributes) {
  pthread_attr_t defaults; /* glibc keeps nothing elsewhere for them that would have to be given back */
  if (attributes == NULL) {
    pthread_attr_init(&defaults);
    attributes = &defaults;
  }
  /* Without a stack of its own, an attribute says that it ends at the address 0. None of these can fail. */
  void *low = NULL;
  size_t size = 0;
  pthread_attr_getstack(attributes, &low, &size);
  if ((uintptr_t)low + size > (uintptr_t)low) self->stack_low = (uintptr_t)low;
  pthread_attr_getstacksize(attributes, &self->stack_size);
  pthread_attr_getguardsize(attributes, &self->guard_size);
}

UPS_PUBLIC int upstare_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                                      void *argument) {
  struct ups_thread *self = ready ? take() : NULL;
  if (self == NULL) return ready ? EAGAIN : pthread_create(thread, attributes, start, argument);
  self->start = start;
  self->argument = argument;
  note_attributes(self, attributes);
  int error = pthread_create(thread, attributes, thread_start, self);
  if (error != 0) give_back(self);
  return error;
}

/* Only the thread that forked lives on in the child. While the runtime sleeps nothing can be half done that matters to it. */
static UPS_ASLEEP void hold(void) {
  sigset_t mask;
  ups_signals_block(&mask);
  ups_memory_hold();
  fork_mask = mask; /* glibc runs these handlers one fork at a time */
}

static UPS_ASLEEP void let_go(void) {
  sigset_t mask = fork_mask;
  ups_memory_let_go();
  ups_signals_restore(&mask);
}

static void fork_prepare(void) {
  held = ups_awake();
  if (held) hold();
}

static void fork_parent(void) {
  if (held) let_go();
}

static void fork_child(void) {
  sigset_t mask = fork_mask;
  begin_process();
  if (held) ups_signals_restore(&mask);
}

/* What pthread_atfork and atexit call, which are code of the program's otherwise. */
extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *object);
extern void *__dso_handle __attribute__((visibility("hidden")));

int ups_threads_init(void) {
  struct ups_thread *self = &main_thread;
  if (pthread_key_create(&exit_key, thread_end) != 0) return -1;
  if (__register_atfork(fork_prepare, fork_parent, fork_child, &__dso_handle) != 0) return -1;
  if (pthread_setspecific(exit_key, self) != 0) return -1;
  same_process = mmap(NULL, sizeof *same_process, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (same_process == MAP_FAILED || ups_direct(SYS_madvise, (long)same_process, 4096, MADV_WIPEONFORK, 0) != 0)
    same_process = NULL;
  if (same_process != NULL) *same_process = 1;
  atomic_store_explicit(&self->tid, ups_gettid(), memory_order_relaxed);
  find_main_stack(self); /* now: what a seccomp filter allows later is not known */
  atomic_store(&ups_threads, self);
  ups_self = self;
  ready = true;
  return 0;
}
