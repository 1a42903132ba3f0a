/*
 * Blocking calls as frames: left, resumed, named.
 */
#include "blocking/call.h"

#include "runtime.h"

/* The call becomes a frame. What it does not use is zero there: whoever looks for pointers in frames finds only its own. */
void ups_call_leave(const struct ups_call *call) {
  struct ups_call *frame = (struct ups_call *)ups_frame_push(call->operation->number, 1, sizeof *call);
  *frame = *call;
  for (unsigned i = call->operation->arguments; i < sizeof frame->argument / sizeof *frame->argument; i++)
    frame->argument[i] = 0;
  if (call->operation != &ups_op_scanf)
    memset(frame->pointer, 0, sizeof frame->pointer);
}

void ups_signals_restarted(void *context) {
  if (ups_blocking_classify(context) == UPS_PLACE_BEFORE)
    ups_blocking_set_stop(context);
}

long ups_blocking_resume(void) {
  struct ups_call call;
  uint32_t point, phase;
  memcpy(&call, upstare_resume_begin(&point, &phase), sizeof call); /* at once: the data does not live long */
  return ups_call_again(&call);
}

static const struct ups_operation *const operations[UPS_OP_COUNT] = {
    [UPS_OP_READ] = &ups_op_read,
    [UPS_OP_WRITE] = &ups_op_write,
    [UPS_OP_READV] = &ups_op_readv,
    [UPS_OP_WRITEV] = &ups_op_writev,
    [UPS_OP_RECVFROM] = &ups_op_recvfrom,
    [UPS_OP_SENDTO] = &ups_op_sendto,
    [UPS_OP_RECVMSG] = &ups_op_recvmsg,
    [UPS_OP_SENDMSG] = &ups_op_sendmsg,
    [UPS_OP_RECVMMSG] = &ups_op_recvmmsg,
    [UPS_OP_SENDMMSG] = &ups_op_sendmmsg,
    [UPS_OP_ACCEPT] = &ups_op_accept,
    [UPS_OP_CONNECT] = &ups_op_connect,
    [UPS_OP_POLL] = &ups_op_poll,
    [UPS_OP_PPOLL] = &ups_op_ppoll,
    [UPS_OP_SELECT] = &ups_op_select,
    [UPS_OP_PSELECT] = &ups_op_pselect,
    [UPS_OP_EPOLL_WAIT] = &ups_op_epoll_wait,
    [UPS_OP_EPOLL_PWAIT] = &ups_op_epoll_pwait,
    [UPS_OP_NANOSLEEP] = &ups_op_nanosleep,
    [UPS_OP_CLOCK_NANOSLEEP] = &ups_op_clock_nanosleep,
    [UPS_OP_SLEEP] = &ups_op_sleep,
    [UPS_OP_PAUSE] = &ups_op_pause,
    [UPS_OP_SIGSUSPEND] = &ups_op_sigsuspend,
    [UPS_OP_SIGTIMEDWAIT] = &ups_op_sigtimedwait,
    [UPS_OP_SIGWAIT] = &ups_op_sigwait,
    [UPS_OP_WAIT4] = &ups_op_wait4,
    [UPS_OP_WAITID] = &ups_op_waitid,
    [UPS_OP_MUTEX_LOCK] = &ups_op_mutex_lock,
    [UPS_OP_COND_WAIT] = &ups_op_cond_wait,
    [UPS_OP_COND_DESTROY] = &ups_op_cond_destroy,
    [UPS_OP_SEM_WAIT] = &ups_op_sem_wait,
    [UPS_OP_JOIN] = &ups_op_join,
    [UPS_OP_FGETS] = &ups_op_fgets,
    [UPS_OP_FGETC] = &ups_op_fgetc,
    [UPS_OP_FREAD] = &ups_op_fread,
    [UPS_OP_GETDELIM] = &ups_op_getdelim,
    [UPS_OP_SCANF] = &ups_op_scanf,
    [UPS_OP_SENDFILE] = &ups_op_sendfile,
};

const char *ups_blocking_name(uint64_t function) {
  const struct ups_operation *operation = function < UPS_OP_COUNT ? operations[function] : NULL;
  return operation ? operation->name : NULL;
}
