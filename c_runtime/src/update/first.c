/*
 * From the first issue of a call, made in arch/<cpu>/cp.S, to its description: the call was left without a result, or
 * perhaps with a part of it, because of a signal of ours; or it must be described before it is issued.
 */
#include "blocking/transfer.h"

#include "blocking/ticks.h"
#include "first.h"
#include "runtime.h"

_Static_assert(offsetof(struct ups_thread, attention) == 32, "arch/x86_64/cp.S");

/* What a description needs to know of the moment at which the call began. As cp.S leaves it. */
struct ups_quick {
  uint64_t ticks;
  uint32_t seen_any, seen_interrupting; /* as in struct ups_handlers_run */
};

/* By the number of the system call, which operation it is. */
static const struct first {
  int number;
  uint8_t ints; /* bit i: argument i is an int, of which the upper half of the register may be anything */
  const struct ups_operation *operation;
  ups_begin *begin; /* the rest of the description; may be null */
  uint64_t (*wanted)(const struct ups_call *call); /* how many bytes it moves if nothing cuts it short; null: any number */
} firsts[] = {
    {SYS_read, 1, &ups_op_read, NULL, NULL},
    {SYS_readv, 5, &ups_op_readv, NULL, NULL},
    {SYS_recvfrom, 9, &ups_op_recvfrom, NULL, ups_recvfrom_wanted},
    {SYS_recvmsg, 5, &ups_op_recvmsg, NULL, ups_recvmsg_wanted},
    {SYS_write, 1, &ups_op_write, NULL, ups_write_wanted},
    {SYS_writev, 5, &ups_op_writev, NULL, ups_writev_wanted},
    {SYS_sendto, 41, &ups_op_sendto, NULL, ups_write_wanted},
    {SYS_sendmsg, 5, &ups_op_sendmsg, NULL, ups_sendmsg_wanted},
    {SYS_sendfile, 3, &ups_op_sendfile, NULL, ups_sendfile_wanted},
    {SYS_accept, 1, &ups_op_accept, ups_begin_accept, NULL},
    {SYS_accept4, 9, &ups_op_accept, ups_begin_accept, NULL},
    {SYS_connect, 5, &ups_op_connect, NULL, NULL},
    {SYS_poll, 4, &ups_op_poll, ups_begin_poll, NULL},
    {SYS_epoll_wait, 13, &ups_op_epoll_wait, ups_begin_poll, NULL},
    {SYS_wait4, 5, &ups_op_wait4, NULL, NULL},
    {UPS_FIRST_NANOSLEEP, 0, &ups_op_nanosleep, ups_begin_nanosleep, NULL},
    {UPS_FIRST_SLEEP, 0, &ups_op_sleep, ups_begin_nanosleep, NULL},
    {UPS_FIRST_SELECT, 1, &ups_op_select, ups_begin_select, NULL},
    {SYS_pause, 0, &ups_op_pause, ups_begin_pause, NULL},
};

static void describe(struct ups_call *call, const struct first *first, const long *arguments, bool issued) {
  ups_transfer_begin(call, first->operation, -1);
  for (unsigned i = 0; i < first->operation->arguments; i++)
    call->argument[i] = first->ints >> i & 1 ? (int)arguments[i] : arguments[i];
  if (first->begin)
    first->begin(call, first->number, arguments, issued);
}

/* The call began when it was issued first. */
static void begin_earlier(struct ups_call *call, const struct ups_quick *quick) {
  call->place = (uint8_t)ups_cp_place;
  call->seen_any = quick->seen_any;
  call->seen_interrupting = quick->seen_interrupting;
  if (!ups_time_valid(&call->until)) /* the kernel is to refuse it, not to see what it would be normally */
    return;
  double until = (double)call->until.tv_sec + 1e-9 * (double)call->until.tv_nsec - ups_ticks_elapsed(quick->ticks);
  if (until > 0 && until < 1e9) { /* beyond that, nobody counts nanoseconds */
    call->until.tv_sec = (time_t)until;
    call->until.tv_nsec = (long)((until - (double)call->until.tv_sec) * 1e9);
  }
}

/* From cp.S. `quick` is null if the call was not issued; `result` is UPS_CP_STOPPED then. What the C function returns. */
__attribute__((visibility("hidden"))) long ups_first_go_on(long number, const struct ups_quick *quick,
                                                           const long *arguments, long result);

long ups_first_go_on(long number, const struct ups_quick *quick, const long *arguments, long result) {
  const struct first *first = firsts;
  struct ups_call call;
  while (first->number != number) first++;
  describe(&call, first, arguments, quick != NULL);
  if (quick == NULL)
    return ups_call_run(&call);
  begin_earlier(&call, quick);
  if (result == UPS_CP_STOPPED)
    return ups_call_go_on(&call);
  uint64_t wanted = first->wanted ? first->wanted(&call) : 0;
  if (!ups_transfer_goes_on(&call, &result, wanted, wanted))
    return ups_call_return(result);
  return ups_call_again(&call);
}
