/* SPDX-License-Identifier: MIT */
/*
 * heap_world: what lies below the heap, in so few steps that its interleavings can be explored:
 * regions that are a word each, headers in an array, one processor.
 *
 * Include it behind the .c files of the heap.
 */
#ifndef MOAT_TESTS_MODEL_HEAP_WORLD_H
#define MOAT_TESTS_MODEL_HEAP_WORLD_H

enum { REGIONS = 4, HEADERS = 8, SLOT = 16, SPAN_SIZE = 6 << 20, BLOCKS = 6 };

const struct moat_class moat_classes[MOAT_CLASSES + 1] = {
    {SLOT, SPAN_SIZE, 2, 1, (UINT64_C(1) << MOAT_CLASS_SHIFT) / SLOT},
};

/* What lies below the heap. */
static struct {
    _Atomic uint64_t life; /* odd: there is one */
    void *tag;
} regions[REGIONS];
static unsigned region_count; /* that the manager gives at most */
static unsigned next_region;
static bool stubborn; /* the next release fails */
static struct moat_manager manager;
static struct moat_counters counters;
_Atomic bool moat_latch_state;

static struct { _Alignas(256) char room[256]; } headers[HEADERS];
static unsigned header_count;

unsigned moat_os_processor(void) {
    return 0;
}

_Thread_local struct moat_site moat_site_of_thread;

/* Nobody forks here. */
static _Atomic uint32_t never_forked = MOAT_MENDED;
_Atomic uint32_t *moat_fork_word = &never_forked;

void moat_fork_mend(void) {
}

void moat_held_begin(enum moat_held_task task) {
    (void)task;
}

void moat_held_end(enum moat_held_task task) {
    (void)task;
}

const struct moat_options *moat_manager_options(const struct moat_manager *of) {
    return &of->options;
}

enum moat_status moat_deny_count(struct moat_manager *of, enum moat_deny_kind kind,
                                 const char *what, uintptr_t address) {
    (void)of, (void)kind, (void)what, (void)address;
    return MOAT_OK;
}

enum moat_status moat_fail(enum moat_status status, const char *what, uintptr_t address,
                           const char *why) {
    (void)what, (void)address, (void)why;
    return status;
}

void moat_error_set(const char *format, ...) {
    (void)format;
}

enum moat_status moat_fail_books(enum moat_status status, const char *what, uintptr_t address) {
    (void)what, (void)address;
    return status;
}

enum moat_status moat_fail_latched(const char *what, uintptr_t address) {
    (void)what, (void)address;
    return MOAT_UNAVAILABLE;
}

struct moat_counters *moat_manager_counters(struct moat_manager *of) {
    (void)of;
    return &counters;
}

enum moat_status moat_heap_refuse(const struct moat_heap *of, const void *block) {
    (void)of, (void)block;
    return MOAT_NOT_OURS;
}

void moat_rests_make(struct moat_span *span) {
    (void)span;
}

bool moat_rest_begin(const struct moat_heap *of, const struct moat_found *found) {
    (void)of, (void)found;
    return true;
}

void moat_rest_end(struct moat_heap *of, struct moat_span *span, uint32_t slot) {
    (void)of, (void)span, (void)slot;
}

void moat_rests_inspect(struct moat_heap *of, const struct moat_span *span) {
    (void)of, (void)span;
}

void moat_note_forget(struct moat_span *span, uint32_t slot) {
    (void)span, (void)slot;
}

void moat_note_keep(struct moat_names *names, struct moat_span *span, uint32_t slot,
                    const struct moat_note *note) {
    (void)names, (void)span, (void)slot, (void)note;
}

void *moat_books_take(size_t size) {
    return size <= sizeof(headers[0]) && header_count < HEADERS ? &headers[header_count++] : NULL;
}

static struct moat_span *header(unsigned number) {
    return (struct moat_span *)(void *)&headers[number];
}

static uintptr_t base_of(unsigned region) {
    return ((uintptr_t)region + 1) << 24;
}

enum moat_status moat_reserve_as(struct moat_manager *of, void *address, size_t size,
                                 const struct moat_reserve_terms *terms, void **base) {
    (void)of, (void)address, (void)size;
    for (unsigned tries = 0; tries < region_count; tries++) {
        unsigned i = next_region++ % region_count;
        uint64_t life = moat_load_acquire(&regions[i].life);
        if (life % 2 != 0 || !moat_cas_acq_rel(&regions[i].life, &life, life + 1))
            continue;
        regions[i].tag = terms->tag;
        *base = (void *)base_of(i);
        return MOAT_OK;
    }
    return MOAT_NO_MEMORY;
}

enum moat_status moat_release_tagged(struct moat_manager *of, void *address, void *tag) {
    uintptr_t i = ((uintptr_t)address >> 24) - 1;
    (void)of;
    if (regions[i].tag != tag || moat_load_acquire(&regions[i].life) % 2 == 0)
        explore_fail("a region is released by whom it does not belong to");
    if (stubborn) {
        stubborn = false;
        return MOAT_NO_MEMORY;
    }
    regions[i].tag = NULL;
    (void)moat_add_acq_rel(&regions[i].life, 1);
    return MOAT_OK;
}

bool moat_region_find_base(uintptr_t address, struct moat_region_ref *ref) {
    uintptr_t i = (address >> 24) - 1;
    if (i >= REGIONS || address != base_of((unsigned)i))
        return false;
    uint64_t life = moat_load_acquire(&regions[i].life);
    *ref = (struct moat_region_ref){.handle = (uint32_t)i,
                                    .generation = (uint32_t)life,
                                    .base = address,
                                    .size = SPAN_SIZE,
                                    .owner = &manager};
    return life % 2 != 0;
}

bool moat_region_find(uintptr_t address, struct moat_region_ref *ref) {
    (void)address, (void)ref;
    return false;
}

bool moat_region_lives(const struct moat_region_ref *ref) {
    return (uint32_t)moat_load_acquire(&regions[ref->handle].life) == ref->generation;
}

void *moat_region_tag(const struct moat_region_ref *ref) {
    void *tag = regions[ref->handle].tag;
    return moat_region_lives(ref) ? tag : NULL;
}

struct moat_span *moat_heap_spans(const struct moat_heap *of) {
    return (struct moat_span *)(uintptr_t)moat_load_acquire(&of->all);
}

/* Nothing is reserved, and nothing of a header is used. */
static void clear_world(unsigned most) {
    memset(headers, 0, sizeof(headers));
    memset(regions, 0, sizeof(regions));
    header_count = next_region = 0;
    stubborn = false;
    region_count = most;
}

#endif
