/*
 * A blocking call while it lasts, and as a frame. Shared by the files of this folder only.
 *
 * Each operation has one function `run(call)` that does the whole call from the description alone and answers what the
 * C function returns (errno set). The wrapper fills in the description and starts it; the resume function copies it out
 * of the frame and starts it again. So `run` goes by `state` and `progress`, and keeps in locals only what it can lose.
 */
#ifndef UPS_BLOCKING_CALL_H
#define UPS_BLOCKING_CALL_H

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "../blocking.h"

#pragma GCC visibility push(hidden)

/* What a call needs that has to wait: of that only the size counts. It is in functions of its own, not in the way of calls
 * that need it not. */
#define UPS_COLD __attribute__((cold, noinline))

/* The functions that transformed code calls. */
#define UPS_EXPORT __attribute__((visibility("default")))

/* Function ids of frames: never renumber, versions that are running know them. */
enum ups_op {
  UPS_OP_NONE = 0,
  UPS_OP_READ = 1,
  UPS_OP_WRITE = 2,
  UPS_OP_READV = 3,
  UPS_OP_WRITEV = 4,
  UPS_OP_RECVFROM = 5, /* recv too */
  UPS_OP_SENDTO = 6,   /* send too */
  UPS_OP_RECVMSG = 7,
  UPS_OP_SENDMSG = 8,
  UPS_OP_RECVMMSG = 9,
  UPS_OP_SENDMMSG = 10,
  UPS_OP_ACCEPT = 11, /* accept4 too */
  UPS_OP_CONNECT = 12,
  UPS_OP_POLL = 13,
  UPS_OP_PPOLL = 14,
  UPS_OP_SELECT = 15,
  UPS_OP_PSELECT = 16,
  UPS_OP_EPOLL_WAIT = 17,
  UPS_OP_EPOLL_PWAIT = 18,
  UPS_OP_NANOSLEEP = 19,
  UPS_OP_CLOCK_NANOSLEEP = 20,
  UPS_OP_SLEEP = 21,
  UPS_OP_USLEEP = 22, /* not used any more: it is a nanosleep */
  UPS_OP_PAUSE = 23,
  UPS_OP_SIGSUSPEND = 24,
  UPS_OP_SIGTIMEDWAIT = 25, /* sigwaitinfo too */
  UPS_OP_SIGWAIT = 26,
  UPS_OP_WAIT4 = 27, /* wait, waitpid too */
  UPS_OP_WAITID = 28,
  UPS_OP_MUTEX_LOCK = 29, /* timedlock, clocklock too */
  UPS_OP_COND_WAIT = 30,  /* timedwait, clockwait too */
  UPS_OP_COND_DESTROY = 31,
  UPS_OP_SEM_WAIT = 32, /* timedwait, clockwait too */
  UPS_OP_JOIN = 33,     /* timedjoin, clockjoin too */
  UPS_OP_FGETS = 34,
  UPS_OP_FGETC = 35, /* getc, getchar and the unlocked ones too */
  UPS_OP_FREAD = 36,
  UPS_OP_GETDELIM = 37, /* getline too */
  UPS_OP_SCANF = 38,    /* the whole family */
  UPS_OP_SENDFILE = 39, /* sendfile64 too */
  UPS_OP_COUNT
};

/* What a handler of the user's that runs during the wait does to the call. */
enum ups_interruption {
  UPS_RESTARTS,   /* ends it with EINTR unless installed with SA_RESTART */
  UPS_INTERRUPTS, /* ends it with EINTR always (signal(7): "never restarted") */
  UPS_INSENSITIVE /* nothing: the call never answers EINTR */
};

#define UPS_SCANF_POINTERS 16

struct ups_call;
typedef long ups_run(struct ups_call *call);

/* Each is beside its `run`. A call refers to its own and to no other, so the link sees which ones a program can use
 * (upstare/driver/reach.py). */
struct ups_operation {
  const char *name;
  ups_run *run;
  uint16_t number;   /* enum ups_op */
  uint8_t arguments; /* how many of ups_call.argument it uses */
  bool cancellation; /* a cancellation point (condition variables and streams see to it themselves) */
};

struct ups_call {
  const struct ups_operation *operation;
  uint8_t interruption;  /* enum ups_interruption */
  uint8_t place;         /* enum ups_place: where the last signal of ours found the last issue */
  uint8_t timed;         /* `until` holds */
  uint8_t contended;     /* of a lock word: others may be asleep on it */
  uint16_t state;        /* of the operation */
  uint32_t seen_any;     /* handlers that had run when the call began (UPS_RESTARTS: at its last issue) */
  uint32_t seen_interrupting;
  int32_t clock;         /* that `until` is on */
  struct timespec until; /* when the wait is over (absolute) */
  long argument[6];
  uint64_t progress;     /* bytes or messages done */
  uint64_t part;         /* ... of the message being sent; of the operation */
  uint64_t mask;         /* a kernel signal set */
  void *pointer[UPS_SCANF_POINTERS]; /* scanf's arguments; not set by others */
};

/* ---- call.c ---------------------------------------------------------------------------------------------------------- */

/* The call was taken apart: return 0 to the caller at once, touching nothing. Never an answer of the kernel's. */
#define UPS_CP_UNROLLED (UPS_CP_STOPPED - 1)

/* The wait of a call: the system call's result (-errno), UPS_CP_STOPPED (the caller works out what is left of the call
 * and issues it again) or UPS_CP_UNROLLED. Is a cancellation point if the call is one. Thread context or handler. */
long ups_call_issue(struct ups_call *call, long number, long a, long b, long c, long d, long e, long f);

/* A transfer has made some progress and was cut short by a signal of ours: parks if that is wanted. 0: go on;
 * -EINTR: a handler of the user's ran, answer the progress; or UPS_CP_UNROLLED. */
long ups_call_cut(struct ups_call *call);

/* Runs a begun call; before anything is done it is a point (under the storm it may be taken apart there). */
long ups_call_run(struct ups_call *call);

/* Begins and runs a call that no handler ends, with two arguments and (unless `until` is null) a limit. */
int ups_call_wait(const struct ups_operation *operation, long a, long b, clockid_t clock, const struct timespec *until);

/* Runs a call whose first issue was made elsewhere: left without a result (go_on: parks if that is wanted), or with a
 * part of it (again). What the C function returns. */
long ups_call_go_on(struct ups_call *call);
long ups_call_again(struct ups_call *call);

/* quiet.h's check, for files that cannot include the core's header. */
bool ups_call_is_quiet(void);

long ups_call_fail(long result);

/* update/calls.c: the call becomes a frame. The thread is being taken apart. */
void ups_call_leave(const struct ups_call *call);

/* -errno to -1 and errno; UPS_CP_UNROLLED to 0. */
static inline long ups_call_return(long result) {
  return __builtin_expect(result >= 0, 1) ? result : ups_call_fail(result);
}

/* Begins a call: the description is empty but for the arguments, which are the caller's to fill in: as many as the
 * operation says. The others are left as they are, for speed; the frame has zeros there. */
void ups_call_begin(struct ups_call *call, const struct ups_operation *operation, enum ups_interruption interruption);

/* ---- cancel.c -------------------------------------------------------------------------------------------------------- */

/* How calls are cancellation points. */
struct ups_cancellable {
  long (*issue)(const struct ups_cp *cp, long number, long a, long b, long c, long d, long e, long f);
  /* wait(argument), with this type of cancellation; clean(argument) if the thread is cancelled in it. */
  long (*around)(int type, long (*wait)(void *), void (*clean)(void *), void *argument);
};

/* Set when the program first cancels a thread; before that nothing is done for cancellation. Never reset. */
extern const struct ups_cancellable *volatile ups_cancel;

/* ---- time.c ---------------------------------------------------------------------------------------------------------- */

/* The sum; saturates. Both are valid times, not negative. */
struct timespec ups_time_add(struct timespec a, struct timespec b);

/* The time of the `clock` that lies `length` ahead. */
struct timespec ups_time_after(clockid_t clock, struct timespec length);

/* What is left until `until` on `clock`; zero when it is over. */
struct timespec ups_time_left(clockid_t clock, struct timespec until);

/* The same in ms, rounded up, as poll and epoll_wait take it. */
int ups_time_left_ms(clockid_t clock, struct timespec until);

struct timespec ups_time_of_ms(int64_t ms);

static inline bool ups_time_valid(const struct timespec *time) {
  return time->tv_nsec >= 0 && time->tv_nsec < 1000000000;
}

/* ---- futex.c --------------------------------------------------------------------------------------------------------- */

/* Waits while *word == value, until the call's deadline if it has one: 0, -EAGAIN, -EINTR, -ETIMEDOUT, UPS_CP_STOPPED or
 * UPS_CP_UNROLLED. `shared`: between processes. */
long ups_word_wait(struct ups_call *call, const volatile void *word, uint32_t value, bool shared);

void ups_word_wake(const volatile void *word, int count, bool shared);

/* Locks a word of glibc's low-level lock (0 free, 1 locked, 2 locked and waited for) by `try_lock(lock)`, which answers
 * 0, EBUSY or another error: 0, -errno or UPS_CP_UNROLLED. The call is UPS_INSENSITIVE while it lasts. */
long ups_word_lock(struct ups_call *call, int *word, bool shared, int (*try_lock)(void *), void *lock);

/* ---- the operations -------------------------------------------------------------------------------------------------- */

extern const struct ups_operation ups_op_read, ups_op_write, ups_op_readv, ups_op_writev, ups_op_recvfrom,
    ups_op_sendto, ups_op_recvmsg, ups_op_sendmsg, ups_op_recvmmsg, ups_op_sendmmsg, ups_op_accept, ups_op_connect,
    ups_op_poll, ups_op_ppoll, ups_op_select, ups_op_pselect, ups_op_epoll_wait, ups_op_epoll_pwait, ups_op_nanosleep,
    ups_op_clock_nanosleep, ups_op_sleep, ups_op_pause, ups_op_sigsuspend, ups_op_sigtimedwait,
    ups_op_sigwait, ups_op_wait4, ups_op_waitid, ups_op_mutex_lock, ups_op_cond_wait, ups_op_cond_destroy,
    ups_op_sem_wait, ups_op_join, ups_op_fgets, ups_op_fgetc, ups_op_fread, ups_op_getdelim, ups_op_scanf,
    ups_op_sendfile;

/* mutex.c: for the condition variables. 0, -errno, or UPS_CP_UNROLLED. `call` is UPS_INSENSITIVE and not timed. */
long ups_mutex_lock_again(struct ups_call *call, pthread_mutex_t *mutex);

#pragma GCC visibility pop

#endif
