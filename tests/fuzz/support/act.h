/* SPDX-License-Identifier: MIT */
/*
 * act: one call each, with arguments from the input, on Moat and on the model, and what has to be
 * alike afterwards. `owner` is the manager that calls.
 */
#ifndef MOAT_TESTS_FUZZ_ACT_H
#define MOAT_TESTS_FUZZ_ACT_H

/* moat.h (act_pages.c) */
void act_reserve(unsigned owner);
void act_commit(unsigned owner);
void act_reset(unsigned owner);
void act_decommit(unsigned owner);
void act_release(unsigned owner);
void act_protect(unsigned owner);
void act_query(unsigned owner);
void act_fill(unsigned owner);

/* Lives of regions, one after the other (act_life.c) */
void act_life(unsigned owner);

/* lock.h and quota.h (act_lock.c) */
void act_lock(unsigned owner);
void act_unlock(unsigned owner);
void act_level(unsigned owner);

/* watch.h (act_watch.c) */
void act_watch_get(unsigned owner);
void act_watch_reset(unsigned owner);
void act_kernel_write(unsigned owner);

/* residency.h and fault.h (act_residency.c) */
void act_lock_pages(unsigned owner);
void act_unlock_pages(unsigned owner);
void act_discard(unsigned owner);
void act_reset_undo(unsigned owner);
void act_drop_content(unsigned owner);
void act_guard_fault(unsigned owner);
void act_touch(unsigned owner);

/* placeholder.h and placement.h (act_placeholder.c) */
void act_placeholder(unsigned owner);
void act_replace(unsigned owner);
void act_preserve(unsigned owner);
void act_coalesce(unsigned owner);
void act_reserve_within(unsigned owner);

/* describe.h and placement.h (act_told.c), and fork (act_child.c) */
void act_describe(unsigned owner);
void act_guards(unsigned owner);
void act_fork(unsigned owner);

/* space.h (act_space.c) */
void act_map(unsigned owner);
void act_unmap(unsigned owner);
void act_adopt(unsigned owner);
void act_disown(unsigned owner);
void act_trim(unsigned owner);

#endif
