/*
 * The decision that the processes of one update share. Used by the agent only.
 */
#ifndef UPS_BALLOT_H
#define UPS_BALLOT_H

#include "runtime.h"

#pragma GCC visibility push(hidden)

/* The word is in this file from now on, until it is closed. False: the file is not fit for that. */
bool ups_ballot_open(int fd);
void ups_ballot_close(void);
bool ups_ballot_decided(void);

/* Decide, unless it is decided. True: what holds for all is to commit. */
bool ups_ballot_cast(bool commit);

#pragma GCC visibility pop

#endif
