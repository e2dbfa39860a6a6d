/* SPDX-License-Identifier: MIT */
/*
 * fork_child: what a forked child must find, wherever the threads of its parent stood.
 *
 * Nothing here allocates or takes a lock of the C library: the child may have been made by the bare
 * system call. A check that fails says so on standard error and ends the process.
 */
#ifndef MOAT_TESTS_STRESS_FORK_CHILD_H
#define MOAT_TESTS_STRESS_FORK_CHILD_H

#include <moat/moat.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPECT(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition))                                                                          \
            child_fail(__FILE__, __LINE__, #condition, __VA_ARGS__);                               \
    } while (0)

_Noreturn void child_fail(const char *file, int line, const char *condition, const char *format,
                          ...) __attribute__((format(printf, 4, 5)));

/* Make a child by the C library, or by the bare system call. As fork. */
int child_make(bool bare);

/* Whether a page can be read, and written; what is written is what was there. */
bool child_reads(uintptr_t page);
bool child_writes(uintptr_t page);

/* Whether for each page of a range the kernel has what the books say. */
void child_check_books(uintptr_t start, uintptr_t end);

/*
 * Use a region that some thread of the parent was working on, or what is left of it, in every way;
 * release it, and have another one at its address. At the end nothing is there.
 *
 *   kernel   its pages are the kernel's. Those of another backend are that one's after a release
 */
void child_use_up(struct moat_manager *manager, uintptr_t base, size_t size, bool kernel);

/* Wait for a child, which must have ended well. */
void child_reap(int child, const char *what, unsigned step);

#endif
