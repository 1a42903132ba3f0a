/* The stand-in for the core (core.c), as the cases see it. */
#ifndef TEST_CORE_H
#define TEST_CORE_H

#include <stdbool.h>
#include <stdint.h>

enum test_mode {
  TEST_QUIET,  /* nobody stops anything */
  TEST_PARK,   /* threads are stopped all the time and go on */
  TEST_UNROLL, /* ... and mostly are unrolled and resumed */
  TEST_STORM   /* every call is unrolled before it begins */
};

void test_start(const char *mode);
void test_register(void);
void test_unregister(void);
bool test_resume(long *result); /* true if the last call was unrolled: *result is what it answers now */
uint64_t test_stops(void), test_unrolls(void);

/* A call as transformed code makes it. */
#define TEST_CALL(call)                                        \
  ({                                                           \
    __typeof__(call) result_ = (call);                         \
    long resumed_;                                             \
    while (test_resume(&resumed_)) result_ = (__typeof__(call))resumed_; \
    result_;                                                   \
  })

#endif
