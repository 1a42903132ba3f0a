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
        .text
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
        movabsq $0x8000000000000000, %rax /* UPS_CP_STOPPED */
        ret
        .cfi_endproc
        .size   ups_cp_syscall, . - ups_cp_syscall

/*
 * The same with one test, for the first issue of a call: a handler that runs before it does not end it. The number is in
 * rax and the arguments are where the kernel wants them; rcx points to what is tested. See quick.h.
 */
        .globl  ups_cp_quick, ups_cp_quick_begin, ups_cp_quick_end
        .hidden ups_cp_quick, ups_cp_quick_begin, ups_cp_quick_end
        .type   ups_cp_quick, @function
        .p2align 4
ups_cp_quick:
        .cfi_startproc
ups_cp_quick_begin:
        cmpl    $0, (%rcx)
        jne     ups_cp_stop
        syscall
ups_cp_quick_end:
        ret
        .cfi_endproc
        .size   ups_cp_quick, . - ups_cp_quick
        .section .note.GNU-stack, "", @progbits
