/*
 * The restartable region of the blocking calls (x86-64).
 *
 * long ups_cp_syscall(const struct ups_cp *cp, long number, long a, long b, long c, long d, long e, long f);
 *
 * Between ups_cp_begin and ups_cp_end the two tests and the system call are one step for the handlers that know the
 * region (blocking.h): a signal that comes in between sends the thread to ups_cp_stop, so a stop that is asked for
 * after the test is never slept through. A system call that the kernel restarts goes on at the `syscall` instruction,
 * which is inside too.
 *
 * struct ups_cp: stop at 0, count at 8, seen at 16.
 */
#include <asm/unistd_64.h>

#include "first.h"

        .section .text.ups_cp_syscall, "ax", @progbits
        .globl  ups_cp_syscall, ups_cp_begin, ups_cp_end, ups_cp_stop
        .hidden ups_cp_syscall, ups_cp_begin, ups_cp_end, ups_cp_stop
        .type   ups_cp_syscall, @function
        .p2align 4
ups_cp_syscall:
        .cfi_startproc
        movq    %rsi, %rax
        movq    %rdi, %r11
        movq    %rdx, %rdi
        movq    %rcx, %rsi
        movq    %r8, %rdx
        movq    %r9, %r10
        movq    8(%rsp), %r8
        movq    16(%rsp), %r9
ups_cp_begin:
        movq    (%r11), %rcx            /* rcx and r11 are lost to the system call anyway */
        cmpl    $0, (%rcx)
        jne     ups_cp_stop
        movq    8(%r11), %rcx
        movl    (%rcx), %ecx
        cmpl    16(%r11), %ecx
        jne     ups_cp_stop
        syscall
ups_cp_end:
        ret
ups_cp_stop:
        movq    $-0x10000, %rax /* UPS_CP_STOPPED */
        ret
        .cfi_endproc
        .size   ups_cp_syscall, . - ups_cp_syscall

/*
 * The first issue of a call that is a system call, and all that nearly every call needs. The arguments stay in their
 * registers, so the call keeps nothing and saves nothing. Only if it is left without a result, or perhaps with a part of
 * it, is it described (update/first.c), by what is kept here: when it began, in ticks of the processor, and which handlers
 * had run.
 *
 * ups_first: r11 points to the C library's function and the number of the system call; the fourth argument is in r10.
 * Threads that are not ours, and all while the runtime sleeps and the quick way is closed, call the C library's function.
 */
#define PLAIN 0
#define NUMBER 8
#define ATTENTION 32 /* in struct ups_thread; checked in update/first.c */

        .section .text.ups_first, "ax", @progbits
        .globl  ups_first_begin, ups_first_end, ups_first_stopped
        .hidden ups_first_begin, ups_first_end, ups_first_stopped
        .type   ups_first, @function
        .p2align 4
ups_first:
        .cfi_startproc
        cmpq    $0, %fs:ups_self@tpoff
        je      .Lplain
        cmpl    $0, ups_quick_off(%rip)
        jne     .Lclosed
        pushq   %r11
        .cfi_adjust_cfa_offset 8
        pushq   %fs:ups_handlers_run@tpoff
        .cfi_adjust_cfa_offset 8
        movq    %rdx, %rcx
        rdtsc
        shlq    $32, %rdx
        orq     %rdx, %rax
        pushq   %rax                    /* struct ups_quick */
        .cfi_adjust_cfa_offset 8
        movq    %rcx, %rdx
        movq    %fs:ups_self@tpoff, %rcx
        movzwl  NUMBER(%r11), %eax
        movl    $0, %fs:ups_cp_place@tpoff
ups_first_begin:
        cmpl    $0, ATTENTION(%rcx)
        jne     ups_first_stopped
        syscall
ups_first_end:
        testq   %rax, %rax
        js      .Lfailed
        cmpl    $0, %fs:ups_cp_place@tpoff
        jne     ups_first_rest
        addq    $24, %rsp
        .cfi_adjust_cfa_offset -24
        ret
        .cfi_adjust_cfa_offset 24
.Lfailed:
        movq    %rax, %rdi
        addq    $24, %rsp
        .cfi_adjust_cfa_offset -24
        jmp     ups_call_fail
        .cfi_adjust_cfa_offset 24
ups_first_stopped:
        movq    $-0x10000, %rax /* UPS_CP_STOPPED */
        cmpl    $0, ups_is_awake(%rip)
        jne     ups_first_rest
        movq    16(%rsp), %r11
        addq    $24, %rsp
        .cfi_adjust_cfa_offset -24
        jmp     .Lplain
.Lclosed:
        cmpl    $0, ups_is_awake(%rip)
        jne     ups_first_closed
.Lplain:
        movq    %r10, %rcx
        jmp     *PLAIN(%r11)
        .cfi_endproc
        .size   ups_first, . - ups_first

/*
 * long ups_call_issue(struct ups_call *call, long number, long a, long b, long c, long d, long e, long f);
 *
 * While the runtime sleeps nothing is wanted of a thread, so all there is to look at is the attention word, by which it
 * is woken: handlers of the program's that run before the system call are missed here as they are by the C library. Once
 * it is awake, or the program cancels threads, ups_issue does it.
 */
#define RESTARTS 0 /* enum ups_interruption */
#define INTERRUPTION 8 /* in struct ups_call; checked in blocking/call.c */
#define PLACE 9
#define SEEN_ANY 16

        .section .text.ups_call_issue, "ax", @progbits
        .globl  ups_call_issue, ups_issue_begin, ups_issue_end, ups_issue_stopped
        .hidden ups_call_issue, ups_issue_begin, ups_issue_end, ups_issue_stopped
        .type   ups_call_issue, @function
ups_call_issue:
        .cfi_startproc
        movq    ups_issue(%rip), %rax
        testq   %rax, %rax
        jz      1f
        jmp     *%rax
1:      pushq   %rdi
        .cfi_adjust_cfa_offset 8
        cmpb    $RESTARTS, INTERRUPTION(%rdi)
        jne     1f
        movl    %fs:ups_handlers_run@tpoff, %eax
        movl    %eax, SEEN_ANY(%rdi)
1:      movl    %esi, %eax
        movq    %rdx, %rdi
        movq    %rcx, %rsi
        movq    %r8, %rdx
        movq    %r9, %r10
        movq    16(%rsp), %r8
        movq    24(%rsp), %r9
        movq    %fs:ups_self@tpoff, %rcx
        testq   %rcx, %rcx
        jnz     1f
        leaq    ups_never-ATTENTION(%rip), %rcx /* a thread that is not ours */
1:      movl    $0, %fs:ups_cp_place@tpoff
ups_issue_begin:
        cmpl    $0, ATTENTION(%rcx)
        jne     ups_issue_stopped
        syscall
ups_issue_end:
        popq    %rdi
        .cfi_adjust_cfa_offset -8
        movl    %fs:ups_cp_place@tpoff, %ecx
        movb    %cl, PLACE(%rdi)
        ret
        .cfi_adjust_cfa_offset 8
ups_issue_stopped:
        popq    %rdi
        .cfi_adjust_cfa_offset -8
        jmp     ups_call_left
        .cfi_endproc
        .size   ups_call_issue, . - ups_call_issue

/* long ups_first_go_on(long number, const struct ups_quick *quick, const long *arguments, long result) for a call that
 * was made in ups_first, or could not be. */
        .section upstare_update, "ax", @progbits
        .type   ups_first_closed, @function
ups_first_closed:
        .cfi_startproc
        movq    $-0x10000, %rax
        pushq   %r11
        .cfi_adjust_cfa_offset 8
        subq    $16, %rsp
        .cfi_adjust_cfa_offset 16
        xorl    %ecx, %ecx
        jmp     .Lgo_on
        .cfi_endproc
        .size   ups_first_closed, . - ups_first_closed

        .type   ups_first_rest, @function
ups_first_rest:
        .cfi_startproc
        .cfi_def_cfa_offset 32
        movq    %rsp, %rcx
.Lgo_on:
        .irp    register, r9, r8, r10, rdx, rsi, rdi
        pushq   %\register
        .cfi_adjust_cfa_offset 8
        .endr
        movq    64(%rsp), %rdi
        movq    NUMBER(%rdi), %rdi
        movq    %rcx, %rsi
        movq    %rsp, %rdx
        movq    %rax, %rcx
        call    ups_first_go_on
        addq    $72, %rsp
        .cfi_adjust_cfa_offset -72
        ret
        .cfi_endproc
        .size   ups_first_rest, . - ups_first_rest

        /* What is done to the arguments before they are where the kernel wants them; `call` takes them as they are then. The
         * number of the system call is the low half of `number`. */
        .macro  first name, number, call, prepare
        .section .text.\name, "ax", @progbits
        .globl  \name
        .type   \name, @function
\name:
        .cfi_startproc
        \prepare
        leaq    .Lfirst_\name(%rip), %r11
        jmp     ups_first
        .cfi_endproc
        .size   \name, . - \name
        .section .data.rel.ro.\name, "aw", @progbits
        .balign 8
.Lfirst_\name:
        .quad   \call, \number
        .endm

        first   upstare_read, __NR_read, read
        first   upstare_readv, __NR_readv, readv
        first   upstare_recv, __NR_recvfrom, recvfrom, "movq %rcx, %r10; xorl %r8d, %r8d; xorl %r9d, %r9d"
        first   upstare_recvfrom, __NR_recvfrom, recvfrom, "movq %rcx, %r10"
        first   upstare_recvmsg, __NR_recvmsg, recvmsg
        first   upstare_write, __NR_write, write
        first   upstare_writev, __NR_writev, writev
        first   upstare_send, __NR_sendto, sendto, "movq %rcx, %r10; xorl %r8d, %r8d; xorl %r9d, %r9d"
        first   upstare_sendto, __NR_sendto, sendto, "movq %rcx, %r10"
        first   upstare_sendmsg, __NR_sendmsg, sendmsg
        first   upstare_sendfile, __NR_sendfile, sendfile, "movq %rcx, %r10"
        first   upstare_sendfile64, __NR_sendfile, sendfile64, "movq %rcx, %r10"
        first   upstare_accept, __NR_accept, accept
        first   upstare_accept4, __NR_accept4, accept4, "movq %rcx, %r10"
        first   upstare_connect, __NR_connect, connect
        first   upstare_poll, __NR_poll, poll
        first   upstare_epoll_wait, __NR_epoll_wait, epoll_wait, "movq %rcx, %r10"
        first   upstare_wait4, __NR_wait4, wait4, "movq %rcx, %r10"
        first   upstare_waitpid, __NR_wait4, wait4, "xorl %r10d, %r10d"
        first   upstare_pause, __NR_pause, pause

        /* For wrappers in C. */
        .hidden ups_first_nanosleep, ups_first_sleep, ups_first_select
        first   ups_first_nanosleep, UPS_FIRST_NANOSLEEP, ups_plain_nanosleep, "movq %rcx, %r10"
        first   ups_first_sleep, UPS_FIRST_SLEEP, ups_plain_nanosleep, "movq %rcx, %r10"
        first   ups_first_select, UPS_FIRST_SELECT, ups_plain_select, "movq %rcx, %r10"

        .section .note.GNU-stack, "", @progbits
