/* SPDX-License-Identifier: MIT */
/*
 * core_residency: threads lock, unlock, reset, undo, discard, protect and decommit pages that lie
 * between each other's, in the same blocks and under the same mappings, while one more has the
 * kernel take what it may. Each thread knows what its own pages must be; the books, the kernel's
 * locks and the content must agree with that.
 */
#define _GNU_SOURCE
#include "support/core.h"

#include <moat/residency.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

enum { THREADS = 4, PAGES = 1024, RW = MOAT_PAGE_READWRITE, RO = MOAT_PAGE_READONLY };

/* What a page is to its thread. */
struct belief {
    bool committed;
    bool locked;
    bool writable;
    unsigned char value; /* of all bytes that were written; 0: not known to be anything */
};

static unsigned rounds;
static struct moat_manager *manager;
static unsigned char *base;
static struct belief beliefs[PAGES];
static atomic_bool can_lock = true;
static atomic_uint at_work;
static atomic_uint lost;

/* Pages of a thread lie apart, in runs of up to four. */
static unsigned own_page(uint64_t *state, unsigned number) {
    return core_below(state, PAGES / (4 * THREADS)) * 4 * THREADS + number * 4 +
           core_below(state, 4);
}

static void fill(unsigned page, unsigned char value) {
    memset(base + (size_t)page * PAGE, value, PAGE);
    beliefs[page].value = value;
}

static void check_content(unsigned page) {
    const struct belief *it = &beliefs[page];
    const unsigned char *bytes = base + (size_t)page * PAGE;
    if (it->committed && it->value)
        CHECK(bytes[0] == it->value && bytes[PAGE - 1] == it->value, "page %u holds %u, not %u",
              page, bytes[0], it->value);
}

static void commit(unsigned page, uint32_t protection) {
    struct belief *it = &beliefs[page];
    CHECK(moat_commit(manager, base + (size_t)page * PAGE, PAGE, protection, NULL) == MOAT_OK, "%s",
          moat_last_error_text());
    if (!it->committed)
        it->value = 0;
    it->committed = true;
    it->writable = protection == RW;
}

static void lock(unsigned page) {
    struct belief *it = &beliefs[page];
    enum moat_status status = moat_lock_pages(manager, base + (size_t)page * PAGE, PAGE);
    if (!it->committed) {
        CHECK(status == MOAT_NO_ACCESS, "page %u: %s", page, moat_status_describe(status)->name);
    } else if (status == MOAT_LOCK_LIMIT) {
        atomic_store(&can_lock, false);
    } else {
        CHECK(status == MOAT_OK, "page %u: %s", page, moat_last_error_text());
        it->locked = true;
    }
}

static void unlock(unsigned page) {
    struct belief *it = &beliefs[page];
    enum moat_status status = moat_unlock_pages(manager, base + (size_t)page * PAGE, PAGE);
    CHECK(status == (it->locked ? MOAT_OK : MOAT_NOT_LOCKED), "page %u, locked %d: %s", page,
          it->locked, moat_status_describe(status)->name);
    it->locked = false;
}

/* The kernel drops whole pages, and none after the undo. */
static void check_page_if_kept(unsigned page, enum moat_status status) {
    if (status == MOAT_OK) {
        check_content(page);
        return;
    }
    if (beliefs[page].committed && beliefs[page].value && base[(size_t)page * PAGE] == 0)
        atomic_fetch_add(&lost, 1);
    beliefs[page].value = 0;
}

static void reset_and_undo(unsigned page) {
    void *start = base + (size_t)page * PAGE;
    CHECK(moat_reset(manager, start, PAGE, RW, NULL) == MOAT_OK, "%s", moat_last_error_text());
    enum moat_status status = moat_reset_undo(manager, start, PAGE, RW, NULL);
    CHECK(status == MOAT_OK || status == MOAT_CONTENT_LOST, "%s", moat_last_error_text());
    check_page_if_kept(page, status);
}

static void step(uint64_t *state, unsigned number) {
    unsigned page = own_page(state, number);
    struct belief *it = &beliefs[page];
    void *start = base + (size_t)page * PAGE;

    check_content(page);
    switch (core_below(state, 8)) {
    case 0:
        commit(page, RW);
        break;
    case 1:
        commit(page, RO);
        break;
    case 2:
    case 3:
        lock(page);
        break;
    case 4:
        unlock(page);
        break;
    case 5:
        reset_and_undo(page);
        break;
    case 6:
        if (it->committed) {
            CHECK(moat_discard(manager, start, PAGE) == MOAT_OK, "%s", moat_last_error_text());
            it->value = 0;
        }
        break;
    default:
        CHECK(moat_decommit(manager, start, PAGE) == MOAT_OK, "%s", moat_last_error_text());
        *it = (struct belief){0};
    }
    if (it->committed && it->writable && core_below(state, 2))
        fill(page, (unsigned char)(1 + core_below(state, 255)));
}

/* Takes what was reset at any moment, as a machine short of memory does; but gives the others time
 * to get something done in between. */
static void reclaim(void) {
    const struct timespec rest = {.tv_nsec = 10000};
    while (atomic_load(&at_work) != 0) {
        (void)madvise(base, PAGES * PAGE, MADV_PAGEOUT);
        (void)nanosleep(&rest, NULL);
    }
}

static void work(unsigned number) {
    uint64_t state = number + 1;
    core_meet();
    if (number == THREADS) {
        reclaim();
        return;
    }
    for (unsigned i = 0; i < rounds; i++)
        step(&state, number);
    atomic_fetch_sub(&at_work, 1);
    for (unsigned page = 0; page < PAGES; page++)
        if (page / 4 % THREADS == number) {
            check_content(page);
            unlock(page);
        }
}

int main(int argc, char **argv) {
    rounds = core_scale(argc, argv, 10000);
    for (unsigned mechanism = 0; mechanism < CORE_MECHANISMS; mechanism++) {
        void *made;
        manager = core_manager(mechanism);
        CHECK(moat_reserve(manager, NULL, PAGES * PAGE, RW, 0, &made) == MOAT_OK, "%s",
              moat_last_error_text());
        base = made;
        memset(beliefs, 0, sizeof beliefs);
        atomic_store(&at_work, THREADS);
        core_run(THREADS + 1, work);
        CHECK(moat_release(manager, base) == MOAT_OK, "%s", moat_last_error_text());
        moat_manager_destroy(manager);
    }
    printf("%u pages were dropped\n", atomic_load(&lost));
    if (!atomic_load(&can_lock))
        printf("RLIMIT_MEMLOCK was met\n");
    return 0;
}
