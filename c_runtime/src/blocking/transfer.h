/*
 * What the calls that move data through a descriptor have in common.
 */
#ifndef UPS_BLOCKING_TRANSFER_H
#define UPS_BLOCKING_TRANSFER_H

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "call.h"

#pragma GCC visibility push(hidden)

/* Begins a call on descriptor `fd`; remembers roughly when (`until`, as long as the call is not `timed`). */
void ups_transfer_begin(struct ups_call *call, const struct ups_operation *operation, int fd);

/* One issue of a system call that waits for `event` (POLLIN or POLLOUT): its result or UPS_CP_UNROLLED. Goes on by
 * itself after stops, and keeps a timeout of the socket's (SO_RCVTIMEO, SO_SNDTIMEO) over them. */
long ups_transfer(struct ups_call *call, short event, long number, long b, long c, long d, long e, long f);

/* Takes account of the result of an issue of `issued` bytes, in a transfer of `wanted` in all of which `progress` are
 * done. True: the rest is to be issued, because it was not in this issue, or because this issue was cut short by a
 * signal of ours. False: *result is the call's (bytes, -errno or UPS_CP_UNROLLED). Only where data flows is anything
 * ever cut: not in files. */
bool ups_transfer_goes_on(struct ups_call *call, long *result, uint64_t issued, uint64_t wanted);

/* The common case of the first issue, that neither needs to know how much was wanted: done with `result`. */
static inline bool ups_transfer_plain(const struct ups_call *call, long result) {
  return call->progress == 0 && (result <= 0 || call->place != UPS_PLACE_DONE);
}

/* Is it a stream socket? */
bool ups_transfer_stream(int fd);

/* How many bytes a described call moves if nothing cuts it short; 0: it is complete with whatever it has moved. */
uint64_t ups_recvfrom_wanted(const struct ups_call *call);
uint64_t ups_recvmsg_wanted(const struct ups_call *call);
uint64_t ups_write_wanted(const struct ups_call *call); /* sendto too */
uint64_t ups_writev_wanted(const struct ups_call *call);
uint64_t ups_sendmsg_wanted(const struct ups_call *call);
uint64_t ups_sendfile_wanted(const struct ups_call *call);

/* The bytes that the vector describes; saturates. */
uint64_t ups_vector_size(const struct iovec *vector, size_t count);

/* What is left of a vector after `progress` bytes, without changing it: either the rest of one element, put into *first
 * (answers first, *count 1), or all the elements from one on. */
const struct iovec *ups_vector_rest(const struct iovec *vector, size_t *count, uint64_t progress, struct iovec *first);

#pragma GCC visibility pop

#endif
