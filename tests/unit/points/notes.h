/*
 * Update points written by hand, as transforms/points.py writes them, for the tests of the point tables.
 *
 * Slot 0 of every point is a pointer to a struct expected: what the other slots must hold. Slot k is at offset 16 * k.
 */
#ifndef NOTES_H
#define NOTES_H

#include <stddef.h>
#include <stdint.h>

struct expected {
  volatile int64_t slot[32];
};

/* The bytes of a floating point number, as a slot holds them. */
#define BITS(x)                                                                                                       \
  __extension__({                                                                                                     \
    int64_t bits_ = 0;                                                                                                \
    __builtin_memcpy(&bits_, &x, sizeof x);                                                                           \
    bits_;                                                                                                            \
  })

#define CALL 1
#define LOOP 2

#define NOTE(identity, point, flags, part, label, count)                                                              \
  "1: nop\n\t.pushsection .upstare_notes,\"\",@progbits\n\t.quad 1b," label ",upstare$r$" identity ",0x" identity     \
  "\n\t.long " #point ",0\n\t.word " #count "\n\t.byte " #flags "," #part "\n\t"
#define OPERAND(kind, slot, size, instruction)                                                                        \
  ".byte " #kind ",3f-2f\n\t.long 16*" #slot "," #size "\n\t2: " instruction "\n\t3:\n\t"
#define V(operand, slot, size) OPERAND(0, slot, size, "movq %q" #operand ",%%rax")
#define F(operand, slot, size) OPERAND(0, slot, size, "movups %" #operand ",%%xmm0")
#define O(operand, slot, size) OPERAND(1, slot, size, "leaq %" #operand ",%%rax")
#define P(operand, slot, size) OPERAND(2, slot, size, "movq %q" #operand ",%%rax")
#define M(operand, slot, size) OPERAND(3, slot, size, "leaq %" #operand ",%%rax")

#define POINT_(identity, point, flags, part, to, count, operands, ...)                                                \
  __asm__ volatile inline goto(NOTE(identity, point, flags, part, "%l[" #to "]", count) operands ".popsection"        \
                               :                                                                                      \
                               : __VA_ARGS__                                                                          \
                               :                                                                                      \
                               : to)
#define POINT(identity, point, flags, count, operands, ...)                                                           \
  POINT_(identity, point, flags, 0, upstare_ret, count, operands, __VA_ARGS__)
/* A point in two: the second part is where the label of the first leads. */
#define FIRST(identity, point, flags, count, operands, ...)                                                           \
  POINT_(identity, point, flags, 1, upstare_more, count, operands, __VA_ARGS__)
#define SECOND(identity, point, flags, count, operands, ...)                                                          \
  if (0) {                                                                                                            \
  upstare_more:                                                                                                       \
    POINT_(identity, point, flags, 0, upstare_ret, count, operands, __VA_ARGS__);                                     \
    goto upstare_ret;                                                                                                 \
  }

/* A function with points needs a resume clone to name. */
#define RESUME(identity)                                                                                              \
  __attribute__((visibility("hidden"))) void resume_##identity(void) __asm__("upstare$r$" #identity);                 \
  __attribute__((visibility("hidden"))) void resume_##identity(void) {}

/* The dummy return, at the end of a function. */
#define DUMMY(type)                                                                                                   \
  if (0) {                                                                                                            \
  upstare_ret:                                                                                                        \
    __attribute__((cold));                                                                                            \
    type dummy;                                                                                                       \
    return dummy;                                                                                                     \
  }

#define NOINLINE __attribute__((noinline))

#endif
