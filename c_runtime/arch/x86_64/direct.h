/*
 * System calls without the C library: for those whose error nobody asks for, where the call must leave errno alone.
 */
#ifndef UPS_DIRECT_H
#define UPS_DIRECT_H

#include <sys/syscall.h>

/* What the kernel answers: -errno if it fails. any. */
static inline long ups_direct(long number, long a, long b, long c, long d) {
  register long fourth __asm__("r10") = d;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "0"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
                   : "rcx", "r11", "memory");
  return result;
}

/* The same, of one that takes nothing and touches no memory. any. */
static inline long ups_direct_plain(long number) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "0"(number) : "rcx", "r11");
  return result;
}

#endif
