/*
 * The places where the stack pointer is moved by hand. Offsets are those of struct ups_thread, checked in base.c.
 *
 * While a thread is unrolled, everything of the runtime runs on a stack of its own (ups_thread.scratch_high): the
 * program's stack may hold objects that keep their address, below the stack pointer of the moment.
 */
#define UNROLLING 0
#define SCRATCH_HIGH 8
#define BASE_SP 16

        .text

/* uintptr_t ups_base_call(struct ups_thread *self, void *start, uintptr_t a, uintptr_t b, uintptr_t c) */
        .globl  ups_base_call
        .hidden ups_base_call
        .type   ups_base_call, @function
ups_base_call:
        .cfi_startproc
        pushq   %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset %rbp, -16
        movq    %rsp, %rbp
        .cfi_def_cfa_register %rbp
        pushq   %rbx
        .cfi_offset %rbx, -24
        subq    $8, %rsp
        movq    %rdi, %rbx
        movq    %rsp, BASE_SP(%rbx)
        movq    %rsi, %rax
        movq    %rdx, %rdi
        movq    %rcx, %rsi
        movq    %r8, %rdx
.Lcall:
        call    *%rax
        .globl  ups_base_return
        .hidden ups_base_return
ups_base_return:
        cmpl    $0, UNROLLING(%rbx)
        je      .Ldone
        movq    SCRATCH_HIGH(%rbx), %rsp
        movq    %rbx, %rdi
        call    ups_rebuild
        movq    %rdx, %rsp
        jmp     .Lcall
.Ldone:
        movq    -8(%rbp), %rbx
        leave
        .cfi_def_cfa %rsp, 8
        ret
        .cfi_endproc
        .size   ups_base_call, . - ups_base_call

/* int ups_call_on(uintptr_t high, int (*fn)(void *, void *, void *), void *a, void *b, void *c) */
        .globl  ups_call_on
        .hidden ups_call_on
        .type   ups_call_on, @function
ups_call_on:
        .cfi_startproc
        pushq   %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset %rbp, -16
        movq    %rsp, %rbp
        .cfi_def_cfa_register %rbp
        movq    %rdi, %rsp
        movq    %rsi, %rax
        movq    %rdx, %rdi
        movq    %rcx, %rsi
        movq    %r8, %rdx
        call    *%rax
        leave
        .cfi_def_cfa %rsp, 8
        ret
        .cfi_endproc
        .size   ups_call_on, . - ups_call_on

/*
 * What generated code of the flag scheme calls while frames come down. The frames below the caller's are gone, but
 * objects in them that keep their address are not: only the word of the return address (where the return address of
 * the frame that came down was) may be written.
 */
        .macro  load_self reg
        movq    ups_self@gottpoff(%rip), \reg
        movq    %fs:(\reg), \reg
        .endm

/* int upstare_at_point(void) */
        .globl  upstare_at_point
        .type   upstare_at_point, @function
upstare_at_point:
        .cfi_startproc
        load_self %rax
        testq   %rax, %rax
        je      1f
        cmpl    $0, UNROLLING(%rax)
        je      ups_at_point
        movl    $1, %eax
        ret
1:      xorl    %eax, %eax
        ret
        .cfi_endproc
        .size   upstare_at_point, . - upstare_at_point

        .macro  on_scratch name, target
        .globl  \name
        .type   \name, @function
\name:
        .cfi_startproc
        load_self %rax
        movq    %rsp, %r10
        movq    SCRATCH_HIGH(%rax), %rsp
        pushq   %rbp
        movq    %r10, %rbp
        .cfi_def_cfa %rbp, 8
        .cfi_undefined %rbp
        pushq   %r10
        call    \target
        popq    %r10
        popq    %rbp
        movq    %r10, %rsp
        .cfi_def_cfa %rsp, 8
        .cfi_restore %rbp
        ret
        .cfi_endproc
        .size   \name, . - \name
        .endm

        on_scratch upstare_save, ups_save
        on_scratch upstare_save_kept, ups_save_kept

        .section .note.GNU-stack, "", @progbits
