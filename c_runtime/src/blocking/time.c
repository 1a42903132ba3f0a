/*
 * Arithmetic on times. CLOCK_MONOTONIC where the caller has no clock of its own.
 */
#include "call.h"

struct timespec ups_time_add(struct timespec a, struct timespec b) {
  struct timespec sum = {.tv_nsec = a.tv_nsec + b.tv_nsec};
  int carry = sum.tv_nsec >= 1000000000;
  if (carry)
    sum.tv_nsec -= 1000000000;
  if (__builtin_add_overflow(a.tv_sec, b.tv_sec, &sum.tv_sec) || __builtin_add_overflow(sum.tv_sec, carry, &sum.tv_sec))
    return (struct timespec){INT64_MAX, 999999999};
  return sum;
}

struct timespec ups_time_after(clockid_t clock, struct timespec length) {
  struct timespec now;
  clock_gettime(clock, &now);
  return ups_time_add(now, length);
}

struct timespec ups_time_left(clockid_t clock, struct timespec until) {
  struct timespec now;
  clock_gettime(clock, &now);
  struct timespec left = {until.tv_sec - now.tv_sec, until.tv_nsec - now.tv_nsec};
  if (left.tv_nsec < 0) {
    left.tv_sec--;
    left.tv_nsec += 1000000000;
  }
  return left.tv_sec < 0 ? (struct timespec){0, 0} : left;
}

int ups_time_left_ms(clockid_t clock, struct timespec until) {
  struct timespec left = ups_time_left(clock, until);
  int64_t ms;
  if (__builtin_mul_overflow(left.tv_sec, 1000, &ms) || ms > INT_MAX - 1000)
    return INT_MAX;
  return (int)(ms + (left.tv_nsec + 999999) / 1000000);
}

struct timespec ups_time_of_ms(int64_t ms) { return (struct timespec){ms / 1000, ms % 1000 * 1000000}; }
