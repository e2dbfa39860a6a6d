/* SPDX-License-Identifier: MIT */
/* pages: reading and writing the page bytes, with whole blocks told in one. */
#include "region/pages.h"

#include "base/check.h"
#include "os/os.h"
#include "region/retain_budget.h"
#include "region/space.h"

#include <moat/moat.h>

#include <string.h>

static const uint32_t code_protection[] = {
    [MOAT_CODE_READWRITE] = MOAT_PAGE_READWRITE,
    [MOAT_CODE_NOACCESS] = MOAT_PAGE_NOACCESS,
    [MOAT_CODE_READONLY] = MOAT_PAGE_READONLY,
    [MOAT_CODE_EXECUTE] = MOAT_PAGE_EXECUTE,
    [MOAT_CODE_EXECUTE_READ] = MOAT_PAGE_EXECUTE_READ,
    [MOAT_CODE_EXECUTE_READWRITE] = MOAT_PAGE_EXECUTE_READWRITE,
};

uint8_t moat_page_state(uint32_t protection) {
    unsigned state = MOAT_PAGE_COMMITTED;
    /* Most are READWRITE, whose code is 0. */
    for (unsigned code = 1; code < sizeof(code_protection) / sizeof(code_protection[0]) &&
                            !(protection & MOAT_PAGE_READWRITE);
         code++)
        if (protection & code_protection[code])
            state |= code;
    if (protection & MOAT_PAGE_GUARD)
        state |= MOAT_PAGE_IS_GUARD;
    if (protection & MOAT_PAGE_WRITECOMBINE)
        state |= MOAT_PAGE_IS_WRITECOMBINE;
    return (uint8_t)state;
}

uint32_t moat_page_protection(uint8_t state) {
    uint32_t protection = code_protection[state & MOAT_PAGE_CODE];
    if (state & MOAT_PAGE_IS_GUARD)
        protection |= MOAT_PAGE_GUARD;
    if (state & MOAT_PAGE_IS_WRITECOMBINE)
        protection |= MOAT_PAGE_WRITECOMBINE;
    return protection;
}

/* x86 cannot map pages that execute but do not read, and Win32 does not pretend otherwise. */
unsigned moat_code_access(uint8_t code) {
    static const uint8_t access[] = {
        [MOAT_CODE_READWRITE] = MOAT_OS_READ | MOAT_OS_WRITE,
        [MOAT_CODE_NOACCESS] = MOAT_OS_NONE,
        [MOAT_CODE_READONLY] = MOAT_OS_READ,
        [MOAT_CODE_EXECUTE] = MOAT_OS_READ | MOAT_OS_EXECUTE,
        [MOAT_CODE_EXECUTE_READ] = MOAT_OS_READ | MOAT_OS_EXECUTE,
        [MOAT_CODE_EXECUTE_READWRITE] = MOAT_OS_READ | MOAT_OS_WRITE | MOAT_OS_EXECUTE,
    };
    return access[code];
}

unsigned moat_page_access(uint8_t state, bool open) {
    if (!(state & MOAT_PAGE_COMMITTED) && !open)
        return MOAT_OS_NONE;
    if (state & MOAT_PAGE_COMMITTED)
        return moat_code_access(moat_page_code_on_record(state));
    return moat_code_access(state & MOAT_PAGE_CODE);
}

uint8_t moat_page_code_on_record(uint8_t state) {
    uint8_t code = state & MOAT_PAGE_CODE;

    if (state & MOAT_PAGE_IS_GUARD)
        return MOAT_CODE_NOACCESS;
    if (!(state & MOAT_PAGE_IS_CLEAN))
        return code;
    if (code == MOAT_CODE_EXECUTE_READWRITE)
        return MOAT_CODE_EXECUTE_READ;
    return code == MOAT_CODE_READWRITE ? MOAT_CODE_READONLY : code;
}

static uint8_t peek(const _Atomic uint8_t *byte) {
    /* relaxed: each byte stands for itself; stripes, or a query's second look at the life word,
     * order what matters. */
    return atomic_load_explicit(byte, memory_order_relaxed);
}

static void poke(_Atomic uint8_t *byte, uint8_t value) {
    /* relaxed: as in peek. */
    atomic_store_explicit(byte, value, memory_order_relaxed);
}

static _Atomic size_t bare_blocks;

size_t moat_pages_bare(void) {
    /* relaxed: a bound. */
    return atomic_load_explicit(&bare_blocks, memory_order_relaxed);
}

enum moat_block moat_pages_block(const struct moat_space *space, size_t block) {
    return (enum moat_block)peek(&space->opened[block]);
}

void moat_pages_set_blocks(struct moat_space *space, uintptr_t start, uintptr_t end,
                           enum moat_block is) {
    size_t last = moat_space_block(space, end - 1);

    for (size_t block = moat_space_block(space, start); block <= last; block++) {
        size_t more =
            (is == MOAT_BLOCK_BARE) - (size_t)(peek(&space->opened[block]) == MOAT_BLOCK_BARE);
        poke(&space->opened[block], (uint8_t)is);
        if (more != 0)
            /* relaxed: a bound. */
            atomic_fetch_add_explicit(&bare_blocks, more, memory_order_relaxed);
    }
}

/* How many bytes from `from` on, at most `count`, are `value`. They are read eight at a time: who
 * asks holds the stripes, and the bytes of others are not among them. */
static size_t count_alike(const _Atomic uint8_t *from, size_t count, uint8_t value) {
    const uint64_t all = value * UINT64_C(0x0101010101010101);
    size_t alike = 0;
    uint64_t word;

    for (; count - alike >= sizeof(word); alike += sizeof(word)) {
        memcpy(&word, (const void *)(from + alike), sizeof(word));
        if (word != all)
            break;
    }
    while (alike < count && peek(from + alike) == value)
        alike++;
    return alike;
}

/* Make `count` bytes `value`, eight at a time where that is one store for others, too. */
static void fill(_Atomic uint8_t *from, size_t count, uint8_t value) {
    const uint64_t all = value * UINT64_C(0x0101010101010101);

    while (count >= sizeof(all) && moat_is_aligned((uintptr_t)from, sizeof(all))) {
        /* relaxed: as in peek. */
        atomic_store_explicit((_Atomic uint64_t *)(void *)from, all, memory_order_relaxed);
        from += sizeof(all);
        count -= sizeof(all);
    }
    while (count-- > 0)
        poke(from++, value);
}

struct moat_run moat_pages_run(const struct moat_space *space, uintptr_t start, uintptr_t end) {
    _Atomic uint8_t *uniform = MOAT_SPACE_FIELD(space, uniform);
    _Atomic uint8_t *pages = MOAT_SPACE_FIELD(space, pages);
    uintptr_t first_block = MOAT_SPACE_FIELD(space, first_block);
    struct moat_run run = {.start = start, .end = start};

    MOAT_ASSERT(start < end && moat_is_aligned(start | end, MOAT_PAGE));
    MOAT_ASSERT(start >= space->start && end <= space->end);
    while (run.end < end) {
        size_t block = moat_space_block(space, run.end);
        bool open = moat_pages_block(space, block) == MOAT_BLOCK_OPEN;
        uint8_t state = peek(&uniform[block]);
        bool mixed = state == MOAT_UNIFORM_MIXED;
        size_t page = (size_t)((run.end - first_block) >> MOAT_PAGE_SHIFT);

        if (mixed)
            state = peek(&pages[page]);
        if (run.end == start) {
            run.state = state;
            run.open = open;
        } else if (state != run.state || open != run.open) {
            break;
        }
        uintptr_t block_end = moat_space_block_start(space, block + 1);
        if (block_end > end)
            block_end = end;
        if (!mixed) {
            run.end = block_end;
            continue;
        }
        size_t last = (size_t)((block_end - first_block) >> MOAT_PAGE_SHIFT);
        page += count_alike(&pages[page], last - page, run.state);
        run.end = first_block + ((uintptr_t)page << MOAT_PAGE_SHIFT);
        if (page < last)
            break;
    }
    return run;
}

size_t moat_pages_committed(const struct moat_space *space, uintptr_t start, uintptr_t end) {
    size_t bytes = 0;
    while (start < end) {
        struct moat_run run = moat_pages_run(space, start, end);
        if (run.state & MOAT_PAGE_COMMITTED)
            bytes += run.end - run.start;
        start = run.end;
    }
    return bytes;
}

static bool is_possible(uint8_t state) {
    const uint8_t modifiers = MOAT_PAGE_IS_WRITECOMBINE | MOAT_PAGE_IS_GUARD;

    if (moat_page_retained(state))
        return true;
    if ((state & MOAT_PAGE_CODE) > MOAT_CODE_EXECUTE_READWRITE)
        return false;
    return (state & modifiers) == 0 ||
           ((state & MOAT_PAGE_COMMITTED) && (state & modifiers) != modifiers);
}

bool moat_pages_possible(const struct moat_space *space, uintptr_t start, uintptr_t end,
                         uintptr_t *where, uint8_t *state) {
    _Atomic uint8_t *uniform = MOAT_SPACE_FIELD(space, uniform);
    _Atomic uint8_t *pages = MOAT_SPACE_FIELD(space, pages);
    uintptr_t first_block = MOAT_SPACE_FIELD(space, first_block);
    uintptr_t next;
    uint8_t last = 0; /* is possible */

    for (uintptr_t at = start; pages && at < end; at = next) {
        size_t block = moat_space_block(space, at);
        uint8_t now = peek(&uniform[block]);
        next = moat_space_block_start(space, block + 1);
        if (now == MOAT_UNIFORM_MIXED) {
            size_t page = (at - first_block) >> MOAT_PAGE_SHIFT;
            size_t rest = ((next < end ? next : end) - at) >> MOAT_PAGE_SHIFT;
            now = peek(&pages[page]);
            size_t alike = count_alike(&pages[page], rest, now);
            /* None are where somebody writes who should not. */
            next = at + ((alike ? alike : 1) << MOAT_PAGE_SHIFT);
        }
        if (now == last)
            continue;
        if (!is_possible(now)) {
            *where = at;
            *state = now;
            return false;
        }
        last = now;
    }
    return true;
}

void moat_pages_mix(struct moat_space *space, size_t block) {
    _Atomic uint8_t *uniform = MOAT_SPACE_FIELD(space, uniform);
    _Atomic uint8_t *pages = MOAT_SPACE_FIELD(space, pages) + block * MOAT_PAGES_PER_BLOCK;
    uintptr_t block_end = moat_space_block_start(space, block + 1);
    uintptr_t end = block_end < space->end ? block_end : space->end;
    size_t count = (size_t)((end - moat_space_block_start(space, block)) >> MOAT_PAGE_SHIFT);
    uint8_t state = peek(&uniform[block]);

    if (state == MOAT_UNIFORM_MIXED)
        return;
    fill(pages, count, state);
    /* R(mix) a query that finds the block mixed finds the bytes filled in. */
    atomic_store_explicit(&uniform[block], MOAT_UNIFORM_MIXED, memory_order_release);
}

bool moat_pages_mixed(const struct moat_space *space, size_t block) {
    return peek(&MOAT_SPACE_FIELD(space, uniform)[block]) == MOAT_UNIFORM_MIXED;
}

size_t moat_pages_look_retained(const struct moat_space *space, uintptr_t start, uintptr_t end) {
    _Atomic uint8_t *pages = MOAT_SPACE_FIELD(space, pages);
    uintptr_t first_block = MOAT_SPACE_FIELD(space, first_block);
    uintptr_t at = start;

    while (at < end && moat_page_retained(peek(&pages[(at - first_block) >> MOAT_PAGE_SHIFT])))
        at += MOAT_PAGE;
    return at - start;
}

/* What the retained pages of one block, from `start` on, were paid for is given back: they are
 * about to be something else. */
static void pay_back(const struct moat_space *space, uintptr_t start, uintptr_t end) {
    _Atomic uint8_t *pages = MOAT_SPACE_FIELD(space, pages);
    uintptr_t first_block = MOAT_SPACE_FIELD(space, first_block);
    size_t bytes = 0;

    if (!pages || !moat_pages_mixed(space, moat_space_block(space, start)))
        return;
    for (uintptr_t page = start; page < end; page += MOAT_PAGE)
        if (moat_page_retained(peek(&pages[(page - first_block) >> MOAT_PAGE_SHIFT])))
            bytes += MOAT_PAGE;
    if (bytes)
        moat_retain_refund(bytes);
}

void moat_pages_set(struct moat_space *space, uintptr_t start, uintptr_t end, uint8_t state) {
    _Atomic uint8_t *uniform = MOAT_SPACE_FIELD(space, uniform);
    _Atomic uint8_t *pages = MOAT_SPACE_FIELD(space, pages);
    uintptr_t first_block = MOAT_SPACE_FIELD(space, first_block);
    bool leaves = space->arena && !moat_page_retained(state) && moat_retained_any();

    MOAT_ASSERT(moat_is_aligned(start | end, MOAT_PAGE));
    MOAT_ASSERT(start >= space->start && end <= space->end);
    for (uintptr_t at = start; at < end;) {
        size_t block = moat_space_block(space, at);
        uintptr_t stop = moat_space_block_start(space, block + 1);
        if (stop > end)
            stop = end;
        if (leaves)
            pay_back(space, at, stop);
        if (moat_space_whole_blocks(space, at, stop)) {
            poke(&uniform[block], state);
        } else {
            moat_pages_mix(space, block);
            fill(&pages[(at - first_block) >> MOAT_PAGE_SHIFT], (stop - at) >> MOAT_PAGE_SHIFT,
                 state);
        }
        at = stop;
    }
}

/* What VirtualQuery cannot tell apart is one state to a query. */
static uint8_t visible(uint8_t state) {
    const uint8_t hidden = MOAT_PAGE_LOCKED | MOAT_PAGE_IS_CLEAN;
    return state & MOAT_PAGE_COMMITTED ? state & (uint8_t)~hidden : 0;
}

struct moat_pages_view moat_pages_view(const struct moat_space *space) {
    struct moat_pages_view view;
    /* A(rebirth) if this belongs to a later space, the region's life word has changed. */
    view.first_block = atomic_load_explicit(&space->first_block, memory_order_acquire);
    /* A(rebirth) */
    view.uniform = atomic_load_explicit(&space->uniform, memory_order_acquire);
    /* A(rebirth) */
    view.pages = atomic_load_explicit(&space->pages, memory_order_acquire);
    return view;
}

/* As count_alike, for whom nobody keeps from writing meanwhile; of the first it is told. */
static size_t peek_alike(const _Atomic uint8_t *from, size_t count, uint8_t value) {
    const uint64_t all = value * UINT64_C(0x0101010101010101);
    size_t alike = 1;

    while (alike < count) {
        const _Atomic uint8_t *at = from + alike;
        bool whole = moat_is_aligned((uintptr_t)at, sizeof(all)) && count - alike >= sizeof(all);

        /* relaxed: as in peek. */
        if (whole && atomic_load_explicit((const _Atomic uint64_t *)(const void *)at,
                                          memory_order_relaxed) == all)
            alike += sizeof(all);
        else if (peek(at) == value)
            alike++;
        else
            break;
    }
    return alike;
}

uintptr_t moat_pages_peek(const struct moat_pages_view *view, uintptr_t start, uintptr_t end,
                          uint8_t *state) {
    uintptr_t at = start;

    while (at < end) {
        size_t block = (size_t)((at - view->first_block) >> MOAT_BLOCK_SHIFT);
        uintptr_t block_start = view->first_block + ((uintptr_t)block << MOAT_BLOCK_SHIFT);
        /* A(mix) */
        uint8_t raw = atomic_load_explicit(&view->uniform[block], memory_order_acquire);
        bool mixed = raw == MOAT_UNIFORM_MIXED;
        const _Atomic uint8_t *byte = &view->pages[(at - view->first_block) >> MOAT_PAGE_SHIFT];

        if (mixed)
            raw = peek(byte);
        if (at == start)
            *state = visible(raw);
        else if (visible(raw) != *state)
            break;
        if (mixed) {
            uintptr_t stop = block_start + MOAT_BLOCK < end ? block_start + MOAT_BLOCK : end;
            at += peek_alike(byte, (stop - at) >> MOAT_PAGE_SHIFT, raw) << MOAT_PAGE_SHIFT;
        } else {
            size_t rest = ((end - 1 - block_start) >> MOAT_BLOCK_SHIFT) + 1;
            at = block_start + (peek_alike(&view->uniform[block], rest, raw) << MOAT_BLOCK_SHIFT);
        }
    }
    return at < end ? at : end;
}
