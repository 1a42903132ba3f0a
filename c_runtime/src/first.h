/*
 * The first issue of calls that are not quite a system call: a wrapper in C makes the arguments of one. The low half is its
 * number, the other half tells apart what becomes of it. Also included by assembly (arch/<cpu>/cp.S).
 */
#ifndef UPS_FIRST_H
#define UPS_FIRST_H

#include <asm/unistd_64.h>

#define UPS_FIRST_NANOSLEEP __NR_clock_nanosleep
#define UPS_FIRST_SLEEP (__NR_clock_nanosleep + 0x10000)
#define UPS_FIRST_SELECT __NR_pselect6

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <sys/select.h>
#include <time.h>

#pragma GCC visibility push(hidden)

struct ups_call;

/* `left` is the kernel's, who writes it whenever the wait is interrupted, by a signal of ours too; its tv_nsec is -1 if
 * there is nothing in it that the caller should be told. */
struct ups_sleep_left {
  struct timespec left, *remaining;
};
long ups_first_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct ups_sleep_left *left);
/* The same, but once described it answers how many seconds are left. */
long ups_first_sleep(clockid_t clock, int flags, const struct timespec *time, struct ups_sleep_left *left);

struct ups_select_limit {
  struct timespec left, whole;
  struct timeval *timeout;
};
long ups_first_select(int count, fd_set *read, fd_set *write, fd_set *except, struct ups_select_limit *limit, void *none);

/* The C library's own. */
int ups_plain_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct ups_sleep_left *left);
int ups_plain_select(int count, fd_set *read, fd_set *write, fd_set *except, struct ups_select_limit *limit, void *none);

/* What a description by its first issue (update/first.c) has besides the arguments. */
typedef void ups_begin(struct ups_call *call, long number, const long *arguments, bool issued);
ups_begin ups_begin_accept, ups_begin_poll, ups_begin_pause, ups_begin_nanosleep, ups_begin_select;

#pragma GCC visibility pop
#endif

#endif
