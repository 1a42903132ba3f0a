/*
 * What the calls that move data through a descriptor have in common.
 */
#ifndef UPS_BLOCKING_TRANSFER_H
#define UPS_BLOCKING_TRANSFER_H

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "call.h"

/* Begins a call on descriptor `fd`; remembers roughly when (`until`, as long as the call is not `timed`). */
void ups_transfer_begin(struct ups_call *call, enum ups_op op, int fd);

/* One issue of a system call that waits for `event` (POLLIN or POLLOUT): its result or UPS_CP_UNROLLED. Goes on by
 * itself after stops, and keeps a timeout of the socket's (SO_RCVTIMEO, SO_SNDTIMEO) over them. */
long ups_transfer(struct ups_call *call, short event, long number, long b, long c, long d, long e, long f);

/* Takes account of one issue's result in a transfer of `wanted` bytes in all, of which `progress` are done. True: it was
 * cut short by a signal of ours, and the rest is to be issued. False: *result is the call's (bytes, -errno or
 * UPS_CP_UNROLLED). Only where data flows is anything ever cut: not in files. */
bool ups_transfer_goes_on(struct ups_call *call, long *result, uint64_t wanted);

/* Is it a stream socket? */
bool ups_transfer_stream(int fd);

/* The bytes that the vector describes; saturates. */
uint64_t ups_vector_size(const struct iovec *vector, size_t count);

/* What is left of a vector after `progress` bytes, without changing it: either the rest of one element, put into *first
 * (answers first, *count 1), or all the elements from one on. */
const struct iovec *ups_vector_rest(const struct iovec *vector, size_t *count, uint64_t progress, struct iovec *first);

#endif
