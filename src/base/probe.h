/* SPDX-License-Identifier: MIT */
/*
 * probe: places where tools may look in, and that are a nop where no tool does.
 *
 * Statically defined probes as gdb, bpftrace, perf and SystemTap know them: a nop in the code, and
 * a note that says where it is, what it is called and where its arguments are at that moment. They
 * are always there, the same in each build, and need no header of another package to be there when
 * the library is built.
 *
 * Each argument is eight bytes without a sign, in a register or a constant, so that every tool can
 * read it and none has to know how the compiler lays out a frame. Arguments should be at hand: what
 * has to be worked out for them is worked out also when nobody looks.
 *
 * One probe an operation, in the function that all callers of it go through, when its outcome is
 * known; TOOLS.md has the list. Compilers may make several places of one probe, by inlining.
 */
#ifndef MOAT_BASE_PROBE_H
#define MOAT_BASE_PROBE_H

#include <stdint.h>

#if defined(__x86_64__) || defined(__aarch64__)

/* The base tells tools how far a program that was prelinked has moved its notes. The third word is
 * for a semaphore; there is none. */
#define MOAT_PROBE_TEXT(provider, name, arguments)                                                 \
    "990: nop\n"                                                                                   \
    ".pushsection .note.stapsdt, \"?\", \"note\"\n"                                                \
    ".balign 4\n"                                                                                  \
    ".4byte 992f - 991f, 994f - 993f, 3\n"                                                         \
    "991: .asciz \"stapsdt\"\n"                                                                    \
    "992: .balign 4\n"                                                                             \
    "993: .8byte 990b, _.stapsdt.base, 0\n"                                                        \
    ".asciz \"" provider "\"\n"                                                                    \
    ".asciz \"" name "\"\n"                                                                        \
    ".asciz \"" arguments "\"\n"                                                                   \
    "994: .balign 4\n"                                                                             \
    ".popsection\n"                                                                                \
    ".ifndef _.stapsdt.base\n"                                                                     \
    ".pushsection .stapsdt.base, \"aG\", \"progbits\", .stapsdt.base, comdat\n"                    \
    ".weak _.stapsdt.base\n"                                                                       \
    ".hidden _.stapsdt.base\n"                                                                     \
    "_.stapsdt.base: .space 1\n"                                                                   \
    ".size _.stapsdt.base, 1\n"                                                                    \
    ".popsection\n"                                                                                \
    ".endif\n"

#define MOAT_PROBE_ARGUMENT(value) "nr"((uint64_t)(value))

#define MOAT_PROBE2(provider, name, a, b)                                                          \
    __asm__ volatile(MOAT_PROBE_TEXT(#provider, #name, "8@%0 8@%1")::MOAT_PROBE_ARGUMENT(a),       \
                     MOAT_PROBE_ARGUMENT(b))

#define MOAT_PROBE5(provider, name, a, b, c, d, e)                                                 \
    __asm__ volatile(                                                                              \
        MOAT_PROBE_TEXT(#provider, #name, "8@%0 8@%1 8@%2 8@%3 8@%4")::MOAT_PROBE_ARGUMENT(a),     \
        MOAT_PROBE_ARGUMENT(b), MOAT_PROBE_ARGUMENT(c), MOAT_PROBE_ARGUMENT(d),                    \
        MOAT_PROBE_ARGUMENT(e))

#else

#define MOAT_PROBE2(provider, name, a, b) ((void)(a), (void)(b))
#define MOAT_PROBE5(provider, name, a, b, c, d, e)                                                 \
    ((void)(a), (void)(b), (void)(c), (void)(d), (void)(e))

#endif

/* An operation: which pages it was about, what was asked for, how it ended, and whose they are (a
 * manager or a heap). What an operation has no use for is 0. */
#define MOAT_PROBE(name, address, size, protection, status, owner)                                 \
    MOAT_PROBE5(moat, name, (uintptr_t)(address), size, protection, status, (uintptr_t)(owner))

#endif
