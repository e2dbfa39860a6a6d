/* SPDX-License-Identifier: MIT */
/*
 * retain_budget: how much released memory the process keeps, and may keep.
 *
 * Pages that stay resident after a release (retain.h) are paid for beforehand, out of what their
 * processor has in hand; that is drawn from the sum of the process a piece at a time, so that
 * processors share no word as a rule and the bound holds at every moment. What leaves the state is
 * paid back by whoever writes the page bytes (pages.c), and by nobody else: the sum is exact. So it
 * is with granules that are mappings of their own (sever.h).
 *
 * Progress   lock-free
 */
#ifndef MOAT_REGION_RETAIN_BUDGET_H
#define MOAT_REGION_RETAIN_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pay for pages that are about to be retained, where the process may retain `most` bytes in the
 * eyes of who asks. False: that would be more; nothing is paid. And pay back. */
bool moat_retain_draw(size_t bytes, uint64_t most);
void moat_retain_refund(size_t bytes);

/* The same for granules that are about to be severed. */
bool moat_sever_draw(size_t granules);
void moat_sever_refund(size_t granules);

/* What is retained now; exact while nobody draws. And whether anything is, for walks that would
 * find nothing: true at the latest when a draw returns. */
uint64_t moat_retained_bytes(void);
bool moat_retained_any(void);

/* What a manager's option comes to: never more than a part of what the process may use. The first
 * call that is not for 0 reads what that is. */
uint64_t moat_retain_most(uint64_t option);

/* In a forked child, by the thread that mends it: what was found retained, and severed. */
void moat_retain_recount(uint64_t bytes, uint64_t granules);

#endif
