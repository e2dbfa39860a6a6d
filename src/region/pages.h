/* SPDX-License-Identifier: MIT */
/*
 * pages: what the books say about each page, one byte a page.
 *
 *   committed     1 w g c l p p p    p: protection; g: PAGE_GUARD; w: PAGE_WRITECOMBINE;
 *                                    l: locked in memory, and c: clean, its first write is to trap
 *                                    (clean.h), neither of which a query tells
 *   uncommitted   0 . r x d p p p    p: access rights the kernel still has on record for the page
 *                                    in an open block (READWRITE is 0, so fresh books are right);
 *                                    d: it holds old content, zeroed before it is handed out, and
 *                                    in an open block has no rights instead of a marker;
 *                                    x: that content is the poison pattern, checked first;
 *                                    r: retained (retain.h): it is resident as a rule, has no
 *                                    rights, and for certain no marker; always with d and NOACCESS
 *
 * A block all of whose pages are alike has that byte in `uniform` and its page bytes mean nothing;
 * else `uniform` is MOAT_UNIFORM_MIXED. So 256 GiB of equal pages cost 128 KiB of books and a walk
 * over them is short. A block that several regions share is mixed from the day it is opened.
 *
 * Edges
 *   mix   a block's bytes are filled in, then it is called mixed -> who finds it mixed sees them
 *
 * Written by whoever holds the stripe of the block, read by queries at any time: a query may see a
 * change half done, page by page, but never a value that no page had.
 */
#ifndef MOAT_REGION_PAGES_H
#define MOAT_REGION_PAGES_H

#include "region/space.h"

#define MOAT_UNIFORM_MIXED 0xFFu

enum {
    MOAT_PAGE_COMMITTED = 0x80,
    MOAT_PAGE_IS_WRITECOMBINE = 0x40,
    MOAT_PAGE_IS_GUARD = 0x20, /* committed */
    MOAT_PAGE_RETAINED = 0x20, /* uncommitted */
    MOAT_PAGE_POISONED = 0x10, /* uncommitted */
    MOAT_PAGE_IS_CLEAN = 0x10, /* committed */
    MOAT_PAGE_DIRTY = 0x08,    /* uncommitted */
    MOAT_PAGE_LOCKED = 0x08,   /* committed */
    MOAT_PAGE_CODE = 0x07,
};

/* The protections, numbered so that READWRITE is 0. */
enum moat_page_code {
    MOAT_CODE_READWRITE,
    MOAT_CODE_NOACCESS,
    MOAT_CODE_READONLY,
    MOAT_CODE_EXECUTE,
    MOAT_CODE_EXECUTE_READ,
    MOAT_CODE_EXECUTE_READWRITE,
};

/* The one state of retained pages. They were paid for (retain_budget.h) before they are set to it;
 * moat_pages_set pays back for those that it sets to anything else. */
#define MOAT_PAGES_RETAINED ((uint8_t)(MOAT_PAGE_RETAINED | MOAT_PAGE_DIRTY | MOAT_CODE_NOACCESS))

static inline bool moat_page_retained(uint8_t state) {
    return state == MOAT_PAGES_RETAINED;
}

/* A stretch of equal pages. */
struct moat_run {
    uintptr_t start;
    uintptr_t end;
    uint8_t state;
    bool open; /* all its blocks are, or none is: then they are closed or bare */
};

/* The state of a committed page with this MOAT_PAGE_* protection, which must be valid. */
uint8_t moat_page_state(uint32_t protection);

/* The MOAT_PAGE_* protection of a committed state. */
uint32_t moat_page_protection(uint8_t state);

/* MOAT_OS_* rights that the kernel is given for a protection code, or for a whole page state. */
unsigned moat_code_access(uint8_t code);
unsigned moat_page_access(uint8_t state, bool open);

/* The protection code with the rights that the kernel has on record for a committed page, which are
 * less than those of its protection while it is guarded or clean. */
uint8_t moat_page_code_on_record(uint8_t state);

/* The run that begins at `start`, cut at `end`. The caller holds the stripes. */
struct moat_run moat_pages_run(const struct moat_space *space, uintptr_t start, uintptr_t end);

/* Bytes of [start, end) that are committed. The caller holds the stripes. */
size_t moat_pages_committed(const struct moat_space *space, uintptr_t start, uintptr_t end);

/* Set the state of every page in [start, end). The caller holds the stripes. */
void moat_pages_set(struct moat_space *space, uintptr_t start, uintptr_t end, uint8_t state);

/* Whether the states of all pages in [start, end) are ones that there are; else the first page that
 * is not, and its byte. A space without page bytes has nothing to check. Whoever asks holds the
 * stripes. */
bool moat_pages_possible(const struct moat_space *space, uintptr_t start, uintptr_t end,
                         uintptr_t *where, uint8_t *state);

/* What a block is, and make all blocks of [start, end) so. The caller has them to himself. */
enum moat_block moat_pages_block(const struct moat_space *space, size_t block);
void moat_pages_set_blocks(struct moat_space *space, uintptr_t start, uintptr_t end,
                           enum moat_block is);

/* How many blocks are bare, in all spaces. */
size_t moat_pages_bare(void);
/* Whether a block has a byte a page. */
bool moat_pages_mixed(const struct moat_space *space, size_t block);

/* How many bytes from the start of [start, end) are retained, as a look without stripes sees it;
 * the block is mixed, and the range does not leave it. */
size_t moat_pages_look_retained(const struct moat_space *space, uintptr_t start, uintptr_t end);

/* Give a block a byte a page, whatever it had in common. */
void moat_pages_mix(struct moat_space *space, size_t block);

/*
 * The books of a space as a query sees them, which holds nothing. Take the view, then look whether
 * the region still lives, then peek: the memory behind a view stays books for ever, so that what is
 * read of a space that died in between is stale at worst.
 */
struct moat_pages_view {
    uintptr_t first_block;
    const _Atomic uint8_t *uniform;
    const _Atomic uint8_t *pages;
};

struct moat_pages_view moat_pages_view(const struct moat_space *space);

/* The end of the run that begins at `start`, cut at `end`, and its state as Win32 tells states
 * apart: uncommitted pages are all alike, 0. */
uintptr_t moat_pages_peek(const struct moat_pages_view *view, uintptr_t start, uintptr_t end,
                          uint8_t *state);

#endif
