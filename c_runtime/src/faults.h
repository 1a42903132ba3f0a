/*
 * Faults on order, for tests: what happens to an update if this process dies, stops, refuses or is late at a given step?
 */
#ifndef UPS_FAULTS_H
#define UPS_FAULTS_H

#include "runtime.h"

#pragma GCC visibility push(hidden)

enum ups_step {
  UPS_STEP_LOAD = 1, /* before anything is loaded */
  UPS_STEP_LOADED,
  UPS_STEP_STOP,     /* before threads are stopped */
  UPS_STEP_STOPPED,  /* all threads parked, none unrolled */
  UPS_STEP_UNROLLED,
  UPS_STEP_PREPARED, /* before the vote is sent */
  UPS_STEP_CHECK,    /* before messages in flight are counted */
  UPS_STEP_DECIDE,   /* told to commit, nothing decided by us */
  UPS_STEP_DECIDED,  /* before entries are switched */
  UPS_STEP_SWITCHED, /* before stacks are built up */
  UPS_STEP_DONE      /* before the last reply */
};

/* Only a process that was started with UPSTARE_FAULTS in its environment takes orders. */
bool ups_fault_order(uint64_t step, uint64_t action);

/* No order outlives its conversation, or is inherited. */
void ups_fault_forget(void);

/* True: the step is to fail. Called by the agent, and only during an update. */
bool ups_fault(enum ups_step step);

#pragma GCC visibility pop

#endif
