/* SPDX-License-Identifier: MIT */
/*
 * dead: what the dead leave, made by hand: a thread takes something and stops for ever, the kernel
 * is given what a call that was cut off could have left there, and a child is forked. It is asked
 * what was found, piece by piece, so that nothing is mended twice, or that was not broken.
 */
#ifndef MOAT_TESTS_UNIT_DEAD_H
#define MOAT_TESTS_UNIT_DEAD_H

#include "region/fork.h"
#include "region/region.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the scene is about. */
extern struct moat_manager *manager;
extern struct moat_region_ref ref;
/* In the child, what was found. */
extern struct moat_fork_report found;

/* How something is left behind. */
struct death {
    void (*scene)(const char *options, size_t size); /* sets `manager` and `ref` */
    void (*take)(void);   /* by a thread that stops then, and is not in the child */
    void (*keep)(void);   /* by the thread that forks */
    void (*damage)(void); /* in the child, before it mends */
    void (*look)(void);   /* and after that */
};

/* Play it with these options. */
void play_with(const struct death *death, const char *options, size_t size);
/* Play it on both rungs. */
void play(const struct death *death, size_t size);

/* In the child, and in scenes. */
void expect(bool holds, const char *what);
#define EXPECT(claim) expect(claim, #claim)

/* What was found beside what a test is about. */
void expect_nothing_else(struct moat_fork_report report);

#define IN_ARENA (4 * (size_t)BLOCK)
#define ALONE    (300 * (size_t)BLOCK)

/* A scene: a region, of each block of which but the last the first half is committed and its first
 * page written. */
void scene(const char *options, size_t size);

unsigned char *base(void);

/* Enter pages of the region, to stay there. */
void take_pages(size_t offset, size_t size);
extern uint32_t taken;

/* Whether pages of the region can be entered at once; they are left again. */
bool opens(uintptr_t start, uintptr_t end);

#endif
