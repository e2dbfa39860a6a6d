/* SPDX-License-Identifier: MIT */
/*
 * product: every operation x each of its system calls x each errno and way of failing.
 *
 * An operation is one row. It is run once undisturbed, which tells the calls it makes and how
 * things should stand before and after; then once for each fault, each time in a process of its own
 * that is forked before Moat begins. After each fault everything is compared (compare.h), the
 * operation is repeated if it was refused, and a life and the end of the manager must go as ever
 * and leave nothing behind.
 */
#ifndef MOAT_TESTS_EVERY_PRODUCT_H
#define MOAT_TESTS_EVERY_PRODUCT_H

#include "compare.h"
#include "steps.h"

/* What an operation promises; 0: done as ever, or refused and nothing has changed. */
enum {
    OP_TRAPS = 1,    /* refused, it may have given a part of the pages back */
    OP_ANYWHERE = 2, /* done, not always at the same place */
    OP_SUCCEEDS = 4, /* it is never refused */
    OP_EMPTIES = 8,  /* pages may read as zero after it */
    OP_ONCE = 16,    /* refused, it is not to be repeated */
    OP_STEPS = 32,   /* several calls: refused, some of them may have been done */
    OP_BARE = 64,    /* there is no manager before */
    OP_THREAD = 128, /* it starts a thread, whose stack is nobody's */
    OP_WEAKER = 256, /* done, it may have done less than undisturbed, as its header says */
    OP_LEAVES = 512, /* what the kernel does not take back is left at the end */
    OP_OPENS = 1024, /* refused, and the undo too, it leaves pages usable that are nobody's */
};

struct operation {
    const char *name;
    void (*prepare)(void);         /* NULL: nothing */
    enum moat_status (*act)(void); /* the calls under test */
    void (*finish)(void);          /* gives back what the manager does not; NULL: nothing */
    unsigned is;                   /* OP_* */
    uint64_t says;                 /* 1 << status, besides MOAT_NO_MEMORY and MOAT_COMMIT_LIMIT */
};

#define SAYS(status) (UINT64_C(1) << (status))

struct group {
    const struct operation *operations;
    size_t count;
    const char *const *options; /* one run for each; the last is NULL */
};

/* The manager under test, and what operations may leave for each other; fresh in every process. */
extern struct moat_manager *the_manager;

/* For prepare and finish: what must work. */
void must(enum moat_status status);
struct moat_manager *manager_of(const char *options);

/* For act: what it did was wrong, whatever it answers. */
_Noreturn void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* For act, in a child that it forks: compare books and kernel now, and end well. The calls that
 * fail go on failing there until steps_disarm. */
_Noreturn void end_child(void);

/* For act: wait for that child; if it did not end well neither does this. */
void await_child(int child);

int product_main(int count, char **arguments, const struct group *groups, size_t group_count);

#endif
