/* SPDX-License-Identifier: MIT */
/*
 * context: what tests use of <ucontext.h>, for C libraries that only declare it (musl), on x86-64.
 *
 * A context that rests is a stack pointer; beneath it lie the registers that a call preserves. The
 * mask of signals is not switched: no test changes it in a context of its own.
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

_Static_assert(offsetof(ucontext_t, uc_mcontext.gregs) + REG_RSP * sizeof(greg_t) == 160,
               "as written below");

__asm__(".globl swapcontext\n"
        ".type swapcontext, @function\n"
        "swapcontext:\n"
        "    push %rbp\n"
        "    push %rbx\n"
        "    push %r12\n"
        "    push %r13\n"
        "    push %r14\n"
        "    push %r15\n"
        "    mov %rsp, 160(%rdi)\n"
        "    mov 160(%rsi), %rsp\n"
        "    pop %r15\n"
        "    pop %r14\n"
        "    pop %r13\n"
        "    pop %r12\n"
        "    pop %rbx\n"
        "    pop %rbp\n"
        "    xor %eax, %eax\n"
        "    ret\n"
        /* Where a made context begins: the function in rbx, its context in r12. */
        "context_begin:\n"
        "    call *%rbx\n"
        "    mov %r12, %rdi\n"
        "    call context_end\n"
        ".size swapcontext, . - swapcontext\n");

void context_begin(void);
void context_end(ucontext_t *ended);

__attribute__((used)) void context_end(ucontext_t *ended) {
    if (!ended->uc_link)
        exit(EXIT_SUCCESS);
    swapcontext(ended, ended->uc_link);
    abort();
}

int getcontext(ucontext_t *context) {
    *context = (ucontext_t){0};
    return 0;
}

void makecontext(ucontext_t *context, void (*function)(void), int argument_count, ...) {
    uintptr_t top = (uintptr_t)context->uc_stack.ss_sp + context->uc_stack.ss_size;
    uint64_t *stack = (uint64_t *)(top & ~(uintptr_t)15) - 7;
    if (argument_count != 0)
        abort();
    /* In the order in which they are taken: r15, r14, r13, r12, rbx, rbp, and where to go. */
    const uint64_t first[] = {
        0, 0, 0, (uintptr_t)context, (uintptr_t)function, 0, (uintptr_t)context_begin};
    memcpy(stack, first, sizeof first);
    context->uc_mcontext.gregs[REG_RSP] = (greg_t)(uintptr_t)stack;
}
