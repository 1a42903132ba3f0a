/*
 * The word of a thread that the kernel clears, and wakes, when the thread has ended.
 */
#ifndef UPS_BLOCKING_THREAD_ID_H
#define UPS_BLOCKING_THREAD_ID_H

#include <pthread.h>

#pragma GCC visibility push(hidden)

/* The word in glibc's descriptor of a thread that has not been joined: its kernel id, 0 when it has ended. Null where
 * the descriptor is not laid out as expected (looked up in the calling thread's own). */
const volatile int *ups_thread_id_word(pthread_t thread);

#pragma GCC visibility pop

#endif
