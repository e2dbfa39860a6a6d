/* SPDX-License-Identifier: MIT */
/*
 * reset: content that is not needed, and content that is needed after all.
 *
 * After a reset the kernel may drop a page at any moment until it is written again. So an undo
 * writes into each page what is there, and the write itself says whether the page was still
 * whole: the kernel drops whole pages of its own, which may be smaller than ours, so if a word
 * that is not zero is exchanged for itself, nothing of that page was dropped before, and nothing
 * will be. A page that holds zeroes alone says nothing about itself. There the kernel is asked
 * whether it is a page of its own; what was dropped is not. It needs no write: dropped later, it
 * reads the same.
 */
#include "base/probe.h"
#include "base/site.h"
#include "os/os.h"
#include "region/pages.h"
#include "region/trap.h"
#include "vm/commit.h"

#include <moat/moat.h>
#include <moat/residency.h>

#include <errno.h>

static const char call_undo[] = "undo reset";
static const char call_discard[] = "discard";

static enum moat_status reset(struct moat_manager *manager, void *address, size_t size,
                              uint32_t protection, void **start) {
    struct moat_region_ref ref;
    struct moat_range range;
    uint32_t stripes;

    enum moat_status status = moat_commit_enter(manager, "reset", (uintptr_t)address, size,
                                                protection, &range, &ref, &stripes);
    if (status)
        return status;
    for (uintptr_t at = range.start; at < range.end;) {
        struct moat_run run = moat_pages_run(ref.space, at, range.end);
        /* A refusal leaves the content as it is, which is one of the two things allowed. */
        if (run.state & MOAT_PAGE_COMMITTED)
            (void)moat_os_reset((void *)run.start, run.end - run.start);
        at = run.end;
    }
    moat_region_leave(&ref, stripes);
    if (start)
        *start = (void *)range.start;
    return MOAT_OK;
}

enum moat_status moat_reset(struct moat_manager *manager, void *address, size_t size,
                            uint32_t protection, void **start) {
    moat_site_note(MOAT_SITE_HERE);
    enum moat_status status = reset(manager, address, size, protection, start);
    MOAT_PROBE(reset, address, size, protection, status, manager);
    return status;
}

enum found { KEPT, LOST, ZEROES };

/* Keep one readable and writable page of the kernel's, if it is still there. */
static enum found keep_page(uintptr_t page, size_t size) {
    _Atomic uint64_t *words = (_Atomic uint64_t *)page;

    for (size_t i = 0; i < size / sizeof(uint64_t); i++) {
        /* relaxed: what other threads write there is the host's affair. */
        uint64_t word = atomic_load_explicit(&words[i], memory_order_relaxed);
        if (word == 0)
            continue;
        /* An exchange, because a compiler may make a plain load of adding nothing. */
        /* relaxed: as above. */
        while (!atomic_compare_exchange_strong_explicit(&words[i], &word, word,
                                                        memory_order_relaxed, memory_order_relaxed))
            if (word == 0)
                return LOST;
        return KEPT;
    }
    return ZEROES;
}

/* Whether [start, end), which reads as zero, is what was written there. */
static bool zeroes_are_own(uintptr_t start, uintptr_t end) {
    bool own = false;
    return start == end || (!moat_os_own_pages((void *)start, end - start, &own) && own);
}

/* Keep what is there of [start, end); whether that is all. */
static bool keep_pages(uintptr_t start, uintptr_t end) {
    const size_t size = moat_os_page();
    uintptr_t zeroes = start; /* [zeroes, page) reads as zero */
    bool whole = true;

    for (uintptr_t page = start; page < end; page += size) {
        enum found found = keep_page(page, size);
        if (found == ZEROES)
            continue;
        whole &= found == KEPT && zeroes_are_own(zeroes, page);
        zeroes = page + size;
    }
    return zeroes_are_own(zeroes, end) && whole;
}

/* A state with the right to write besides. */
static uint8_t with_write(uint8_t state) {
    bool runs = (moat_page_access(state, true) & MOAT_OS_EXECUTE) != 0;
    uint8_t code = runs ? MOAT_CODE_EXECUTE_READWRITE : MOAT_CODE_READWRITE;
    return (uint8_t)(state & ~MOAT_PAGE_CODE) | code;
}

/* One run of committed pages that can be read. Pages without the right to write get it for as long
 * as this takes; where the kernel does not take it back, the books follow it. */
static int keep_run(struct moat_space *space, const struct moat_run *run, bool *whole) {
    unsigned access = moat_page_access(run->state, true);
    size_t size = run->end - run->start;
    bool lift = (access & MOAT_OS_WRITE) == 0;
    int error = 0;

    if (lift)
        error = moat_os_protect((void *)run->start, size, access | MOAT_OS_WRITE);
    if (!error)
        *whole &= keep_pages(run->start, run->end);
    if (lift) {
        int refused = moat_os_protect((void *)run->start, size, access);
        if (refused)
            (void)moat_trap_follow(space, run->start, run->end, access | MOAT_OS_WRITE,
                                   with_write(run->state));
        error = error ? error : refused;
    }
    return error;
}

static enum moat_status undo_reset(struct moat_manager *manager, void *address, size_t size,
                                   uint32_t protection, void **start) {
    struct moat_region_ref ref;
    struct moat_range range;
    uint32_t stripes;
    bool whole = true;
    int error = 0;

    enum moat_status status = moat_commit_enter(manager, call_undo, (uintptr_t)address, size,
                                                protection, &range, &ref, &stripes);
    if (status)
        return status;
    for (uintptr_t at = range.start; at < range.end && !status;) {
        struct moat_run run = moat_pages_run(ref.space, at, range.end);
        if (run.state & MOAT_PAGE_COMMITTED && !(moat_page_access(run.state, true) & MOAT_OS_READ))
            status = moat_fail(MOAT_NO_ACCESS, call_undo, at,
                               "a page cannot be read; give it access, then undo the reset");
        at = run.end;
    }
    for (uintptr_t at = range.start; at < range.end && !status && !error;) {
        struct moat_run run = moat_pages_run(ref.space, at, range.end);
        if (run.state & MOAT_PAGE_COMMITTED)
            error = keep_run(ref.space, &run, &whole);
        at = run.end;
    }
    moat_region_leave(&ref, stripes);
    if (error)
        return moat_fail_pages(error, MOAT_NO_MEMORY, call_undo, &range);
    if (!status && !whole)
        status = moat_fail(MOAT_CONTENT_LOST, call_undo, range.start,
                           "the kernel has dropped pages, or some were never written");
    if (!status && start)
        *start = (void *)range.start;
    return status;
}

enum moat_status moat_reset_undo(struct moat_manager *manager, void *address, size_t size,
                                 uint32_t protection, void **start) {
    moat_site_note(MOAT_SITE_HERE);
    enum moat_status status = undo_reset(manager, address, size, protection, start);
    MOAT_PROBE(reset_undo, address, size, protection, status, manager);
    return status;
}

static enum moat_status discard(struct moat_manager *manager, void *address, size_t size) {
    struct moat_region_ref ref;
    struct moat_range range;
    uint32_t stripes;
    int error = 0;

    if (!moat_is_aligned((uintptr_t)address | size, MOAT_PAGE))
        return moat_fail(MOAT_INVALID_ARGUMENT, call_discard, (uintptr_t)address,
                         "address and size must be whole pages");
    enum moat_status status = moat_commit_enter(manager, call_discard, (uintptr_t)address, size,
                                                MOAT_PAGE_READWRITE, &range, &ref, &stripes);
    if (status)
        return status;
    if (moat_pages_committed(ref.space, range.start, range.end) != range.end - range.start)
        status =
            moat_fail(MOAT_INVALID_ADDRESS, call_discard, range.start, "a page is not committed");
    for (uintptr_t at = range.start; at < range.end && !status && !error;) {
        struct moat_run run = moat_pages_run(ref.space, at, range.end);
        error = moat_os_discard((void *)run.start, run.end - run.start);
        at = run.end;
    }
    moat_region_leave(&ref, stripes);
    return error ? moat_fail_pages(error, MOAT_NO_MEMORY, call_discard, &range) : status;
}

enum moat_status moat_discard(struct moat_manager *manager, void *address, size_t size) {
    moat_site_note(MOAT_SITE_HERE);
    enum moat_status status = discard(manager, address, size);
    MOAT_PROBE(discard, address, size, 0, status, manager);
    return status;
}
