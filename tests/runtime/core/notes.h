/*
 * Update points written by hand, as the transform writes them: the tests of the runtime must not depend on it.
 *
 * A function F with the points of id ID:    FUNCTION(ID, sizeof(struct frame))
 * A point:                                  POINT(ID, number, flags, count, operands, constraints...)
 * With -DFLAG the same macros make points of the flag scheme: operands are then SAVE/KEEP statements.
 */
#ifndef NOTES_H
#define NOTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "upstare_abi.h"

#define CALL 1
#define LOOP 2
#define NOINLINE __attribute__((noinline))

#define OPERAND(kind, offset, size, instruction)                                                                      \
  ".byte " #kind ",3f-2f\n\t.long " #offset "," #size "\n\t2: " instruction "\n\t3:\n\t"
#define V(operand, offset, size) OPERAND(0, offset, size, "movq %q" #operand ",%%rax")
#define F(operand, offset, size) OPERAND(0, offset, size, "movups %" #operand ",%%xmm0")
#define O(operand, offset, size) OPERAND(1, offset, size, "leaq %" #operand ",%%rax")
#define P(operand, offset, size) OPERAND(2, offset, size, "movq %q" #operand ",%%rax")
#define M(operand, offset, size) OPERAND(3, offset, size, "leaq %" #operand ",%%rax")

#define NOTE_(id, point, flags, part, label, count)                                                                   \
  ".pushsection .upstare_notes,\"\",@progbits\n\t.quad 1b," label ",upstare$r$" id ",0x" id "\n\t.long " #point      \
  "," "%c[line]\n\t.word " #count "\n\t.byte " #flags "," #part "\n\t"

#ifndef FLAG
#define CHUNK(id, point, flags, part, count, operands, ...)                                                           \
  __asm__ volatile inline goto("1: nop\n\t" NOTE_(id, point, flags, part, "%l[upstare_ret]", count) operands         \
                               ".popsection"                                                                          \
                               :                                                                                      \
                               : __VA_ARGS__, [line] "i"(__LINE__)                                                    \
                               : "memory"                                                                             \
                               : upstare_ret)
#define POINT(id, point, flags, count, operands, saves, ...)                                                          \
  CHUNK(#id, point, flags, 0, count, operands, __VA_ARGS__)
#else
#define SAVE(offset, variable) memcpy(upstare_d + (offset), &(variable), sizeof(variable));
#define KEEP(offset, address, size) upstare_save_kept(upstare_d, offset, address, size, 0);
#define POINT(id, point, flags, count, operands, saves, ...)                                                          \
  __asm__ volatile("1:\n\t" NOTE_(#id, point, flags, 0, "0", 0) ".popsection" : : [line] "i"(__LINE__));              \
  if (__builtin_expect(upstare_flag, 0) && upstare_at_point()) {                                                      \
    unsigned char *upstare_d = upstare_save(0x##id##ull, point, FRAME_##id);                                          \
    (void)upstare_d;                                                                                                  \
    saves goto upstare_ret;                                                                                           \
  }
#endif

/* The dummy return, at the end of a function. */
#define DUMMY(type)                                                                                                   \
  if (0) {                                                                                                            \
  upstare_ret:                                                                                                        \
    __attribute__((cold));                                                                                            \
    type dummy;                                                                                                       \
    return dummy;                                                                                                     \
  }
#define DUMMY_VOID                                                                                                    \
  if (0) {                                                                                                            \
  upstare_ret:                                                                                                        \
    __attribute__((cold));                                                                                            \
    return;                                                                                                           \
  }

/* The resume clone of a function. */
#define RESUME(type, id)                                                                                              \
  __attribute__((visibility("hidden"))) type resume_##id(void) __asm__("upstare$r$" #id);                             \
  __attribute__((visibility("hidden"), noinline)) type resume_##id(void)

#define BEGIN                                                                                                         \
  uint32_t upstare_point, upstare_phase;                                                                              \
  const unsigned char *upstare_data = upstare_resume_begin(&upstare_point, &upstare_phase);
#define LOAD(variable, offset) memcpy(&(variable), upstare_data + (offset), sizeof(variable))
#define CALLEE(type) ((type(*)(void))upstare_resume_callee())()

#endif
