/*
 * An agent without a thread of its own, where the process may not make one (RLIMIT_NPROC).
 *
 * A thread of the program, the host, lends itself: the agent is a second context of it. The two take turns. The agent
 * runs until it waits for a change in the threads, then the host runs until it waits for a decision, or until it has
 * changed what the agent waits for. So both find what they would find if they were two threads, at places that are
 * calls of ours anyway. While the agent waits for the coordinator, the host stands still.
 *
 *   host -- ups_guest_start, ups_futex_wait, ups_futex_wake of what the agent waits for --> agent
 *   agent -- ups_futex_wait, its end --> host
 *
 * Everything here belongs to the host's kernel thread, but for `host`, by which other threads see that it is not theirs.
 */
#define _GNU_SOURCE
#include <ucontext.h>

#include "runtime.h"

#define STACK_BYTES ((size_t)1 << 20)

static _Atomic(int) host; /* thread id; 0: there is no such agent */
static struct ups_thread *host_self;
static ucontext_t host_context, agent_context;
static bool agent_runs;
static _Atomic(uint32_t) *host_waits; /* for this word to change from the value; null: it does not wait */
static uint32_t host_value;
static _Atomic(uint32_t) *agent_waits;
static void *stack;
static void *(*body)(void *);
static void *body_argument;

static bool ours(void) {
  int tid = atomic_load(&host);
  return tid != 0 && tid == ups_gettid();
}

/* The host's turn is over until the agent gives it back. The mask of signals changes with the contexts. */
static void to_agent(void) {
  int error = errno, cancel;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
  ups_self = NULL; /* the agent is no thread of the program */
  agent_runs = true;
  swapcontext(&host_context, &agent_context);
  agent_runs = false;
  ups_self = host_self;
  pthread_setcancelstate(cancel, NULL);
  if (atomic_load(&host) == 0) {
    ups_unmap(stack);
    stack = NULL;
  }
  errno = error;
}

static void begin(void) {
  body(body_argument);
  atomic_store(&host, 0);
  setcontext(&host_context);
}

bool ups_guest_start(void *(*function)(void *), void *argument) {
  if (ups_self == NULL || stack != NULL || getcontext(&agent_context) != 0) return false;
  stack = ups_map(STACK_BYTES);
  if (stack == NULL) return false;
  agent_context.uc_stack.ss_sp = stack;
  agent_context.uc_stack.ss_size = STACK_BYTES;
  agent_context.uc_link = NULL;
  makecontext(&agent_context, begin, 0);
  body = function;
  body_argument = argument;
  host_self = ups_self;
  atomic_store(&host, ups_gettid());
  to_agent();
  return true;
}

bool ups_guest_runs(void) {
  return agent_runs && ours();
}

bool ups_guest_wait(_Atomic(uint32_t) *word, uint32_t value) {
  if (!ours()) return false;
  if (!agent_runs) {
    host_waits = word;
    host_value = value;
    to_agent();
    host_waits = NULL;
    return true;
  }
  if (host_waits != NULL && atomic_load(host_waits) == host_value) return false; /* it is others that we wait for */
  agent_waits = word;
  swapcontext(&agent_context, &host_context);
  agent_waits = NULL;
  return true;
}

void ups_guest_woken(const _Atomic(uint32_t) *word) {
  if (ours() && !agent_runs && agent_waits == word) to_agent();
}

void ups_guest_child(void) {
  if (atomic_exchange(&host, 0) == 0) return;
  agent_waits = host_waits = NULL;
  ups_unmap(stack);
  stack = NULL;
}
