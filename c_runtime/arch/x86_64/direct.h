/*
 * System calls without the C library: for those whose error nobody asks for, where the call must leave errno alone.
 */
#ifndef UPS_DIRECT_H
#define UPS_DIRECT_H

#include <sys/syscall.h>

/* A flag of signal actions that the C library keeps to itself: it says where a handler returns to. */
#define UPS_SA_RESTORER 0x04000000

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
