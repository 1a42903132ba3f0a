/*
 * The places where the stack pointer is moved by hand. Offsets are those of struct ups_thread, checked in base.c.
 *
 * While a thread is unrolled, everything of the runtime runs on a stack of its own (ups_thread.scratch_high): the
 * program's stack may hold objects that keep their address, below the stack pointer of the moment.
 */
#define UNROLLING 0
#define SCRATCH_HIGH 8
#define BASE_SP 16
#define MACHINE -144 /* from the top of the stack of the runtime: gregs up to the instruction pointer */

        .macro  load_self reg
        movq    ups_self@gottpoff(%rip), \reg
        movq    %fs:(\reg), \reg
        .endm

/* uintptr_t ups_base_call(struct ups_thread *self, void *start, uintptr_t a, uintptr_t b, uintptr_t c) */
        .section .text.ups_base_call, "ax", @progbits
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
        .section .text.ups_call_on, "ax", @progbits
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
 * Where return addresses lead that returns.c has taken. The stack is the program's, with objects below the stack pointer
 * that keep their address: only the word of the return address may be written.
 */
        .section .text.ups_return_trampoline, "ax", @progbits
        .globl  ups_return_trampoline
        .hidden ups_return_trampoline
        .type   ups_return_trampoline, @function
ups_return_trampoline:
        .cfi_startproc
        .cfi_undefined %rip
        movq    %rax, -8(%rsp)
        load_self %rax
        movq    SCRATCH_HIGH(%rax), %rax
        movq    %r8, MACHINE(%rax)
        movq    %r9, MACHINE+8(%rax)
        movq    %r10, MACHINE+16(%rax)
        movq    %r11, MACHINE+24(%rax)
        movq    %r12, MACHINE+32(%rax)
        movq    %r13, MACHINE+40(%rax)
        movq    %r14, MACHINE+48(%rax)
        movq    %r15, MACHINE+56(%rax)
        movq    %rdi, MACHINE+64(%rax)
        movq    %rsi, MACHINE+72(%rax)
        movq    %rbp, MACHINE+80(%rax)
        movq    %rbx, MACHINE+88(%rax)
        movq    %rdx, MACHINE+96(%rax)
        movq    %rcx, MACHINE+112(%rax)
        movq    -8(%rsp), %rcx
        movq    %rcx, MACHINE+104(%rax)
        movq    %rsp, MACHINE+120(%rax)
        movq    %rax, %rbx
        leaq    MACHINE-256(%rax), %rsp
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movups  %xmm\n, 16*\n(%rsp)
        .endr
        leaq    MACHINE(%rbx), %rdi
        movq    %rsp, %rsi
        call    ups_returned
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movups  16*\n(%rsp), %xmm\n
        .endr
        movq    MACHINE+120(%rbx), %rsp
        movq    MACHINE+128(%rbx), %rcx
        movq    %rcx, -8(%rsp)
        movq    MACHINE(%rbx), %r8
        movq    MACHINE+8(%rbx), %r9
        movq    MACHINE+16(%rbx), %r10
        movq    MACHINE+24(%rbx), %r11
        movq    MACHINE+32(%rbx), %r12
        movq    MACHINE+40(%rbx), %r13
        movq    MACHINE+48(%rbx), %r14
        movq    MACHINE+56(%rbx), %r15
        movq    MACHINE+64(%rbx), %rdi
        movq    MACHINE+72(%rbx), %rsi
        movq    MACHINE+80(%rbx), %rbp
        movq    MACHINE+96(%rbx), %rdx
        movq    MACHINE+104(%rbx), %rax
        movq    MACHINE+112(%rbx), %rcx
        movq    MACHINE+88(%rbx), %rbx
        jmp     *-8(%rsp)
        .cfi_endproc
        .size   ups_return_trampoline, . - ups_return_trampoline

/*
 * What generated code of the flag scheme calls while frames come down. The frames below the caller's are gone, but
 * objects in them that keep their address are not: only the word of the return address (where the return address of
 * the frame that came down was) may be written.
 */
/* int upstare_at_point(void) */
        .section .text.upstare_at_point, "ax", @progbits
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
        .section .text.\name, "ax", @progbits
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
