/* SPDX-License-Identifier: MIT */
/*
 * facts: what can be seen of a stretch of addresses: what queries tell, what the kernel lets one
 * do, and what the pages hold.
 */
#ifndef MOAT_TESTS_FAULT_FACTS_H
#define MOAT_TESTS_FAULT_FACTS_H

#include <moat/moat.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAGE = MOAT_PAGE_BYTES, FACTS_PAGES_MAX = 2048 };

struct fact {
    uintptr_t allocation;
    enum moat_page_state state;
    uint32_t protection;
    uint32_t allocation_protection;
    bool readable;
    bool writable;
    uint64_t word; /* the first one, if readable */
};

struct facts {
    uintptr_t start;
    size_t count;
    struct moat_stats stats;
    struct fact pages[FACTS_PAGES_MAX];
};

void facts_take(struct facts *facts, const struct moat_manager *manager, uintptr_t start,
                size_t count);

/* Whether nothing has changed; what the kernel refused may have been counted. On no, says what. */
bool facts_same(const struct facts *before, const struct facts *after);

/* Whether every page is as before, or has been given back and traps. */
bool facts_same_or_trapped(const struct facts *before, const struct facts *after);

/* Whether rights and queries agree: what is not committed traps, what is committed can be used as
 * its protection says; and whether what was committed before and after has kept its content. */
bool facts_agree(const struct facts *before, const struct facts *after);

#endif
