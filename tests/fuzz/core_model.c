/* SPDX-License-Identifier: MIT */
/*
 * core_model: any sequence of calls does what the model of an array of pages says: each status,
 * each query, the access rights of each page, its content, and the counters.
 *
 * An input is a list of calls on two managers, each on one of the mechanisms. Calls aim at regions
 * that live, at two stretches of addresses (one in an arena, one outside) where reservations at
 * given addresses come to touch and to overlap, and at addresses that nothing can be right for.
 */
#define _GNU_SOURCE
#include "support/residency.h"
#include "support/verify.h"

#include <sys/mman.h>

enum { MECHANISMS = 3, OPERATIONS_MAX = 512, FULL_CHECK_EVERY = 16 };

#define KIB              ((size_t)1024)
#define MIB              (KIB * KIB)
#define WINDOW_SIZE      (5 * MIB)
#define OUTSIDE_DISTANCE ((uintptr_t)64 << 30)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct window {
    uintptr_t start;
    uintptr_t end;
};

static struct {
    const uint8_t *data;
    size_t left;
} input;

static struct model model;
static struct moat_manager *managers[MODEL_OWNERS];
static struct window windows[2];

static const uint32_t protections[] = {
    MOAT_PAGE_READWRITE,
    MOAT_PAGE_READWRITE,
    MOAT_PAGE_READWRITE,
    MOAT_PAGE_READWRITE,
    MOAT_PAGE_READONLY,
    MOAT_PAGE_NOACCESS,
    MOAT_PAGE_EXECUTE,
    MOAT_PAGE_EXECUTE_READ,
    MOAT_PAGE_EXECUTE_READWRITE,
    MOAT_PAGE_READWRITE | MOAT_PAGE_GUARD,
    MOAT_PAGE_READONLY | MOAT_PAGE_GUARD,
    MOAT_PAGE_READWRITE | MOAT_PAGE_NOCACHE,
    MOAT_PAGE_READWRITE | MOAT_PAGE_WRITECOMBINE,
    MOAT_PAGE_READONLY,
    /* from here on invalid */
    0,
    MOAT_PAGE_READONLY | MOAT_PAGE_READWRITE,
    MOAT_PAGE_NOACCESS | MOAT_PAGE_GUARD,
    MOAT_PAGE_READWRITE | MOAT_PAGE_GUARD | MOAT_PAGE_NOCACHE,
    0x08,
    0x80000000u | MOAT_PAGE_READWRITE,
};
enum { PROTECTIONS = sizeof(protections) / sizeof(protections[0]) };

static unsigned take(unsigned bytes) {
    unsigned value = 0;
    while (bytes-- > 0 && input.left > 0) {
        value = value << 8 | *input.data++;
        input.left--;
    }
    return value;
}

static uint32_t take_protection(void) {
    unsigned choice = take(1);
    /* One in eight may be an invalid one. */
    return protections[choice < 32 ? choice % PROTECTIONS : choice % 14];
}

static uintptr_t take_wild_address(void) {
    static const uintptr_t wild[] = {0,
                                     1,
                                     0xFFFF,
                                     MODEL_USER_END - 1,
                                     MODEL_USER_END,
                                     (uintptr_t)1 << 47,
                                     (uintptr_t)1 << 63,
                                     UINTPTR_MAX - 0xFFF,
                                     UINTPTR_MAX};
    return wild[take(1) % (sizeof(wild) / sizeof(wild[0]))];
}

/* An address somewhere in a live region, or in a window, or one that is never right. */
static uintptr_t take_address(void) {
    unsigned choice = take(1);

    if (choice < 6)
        return take_wild_address();
    if (choice < 200 && model.region_count > 0) {
        const struct model_region *region = &model.regions[choice % model.region_count];
        size_t pages = choice & 64 ? 1 : region->page_count + 1;
        return region->base + take(3) % (pages * MODEL_PAGE);
    }
    const struct window *window = &windows[choice & 1];
    size_t pages = (window->end - window->start) / MODEL_PAGE;
    return window->start + take(2) % pages * MODEL_PAGE + (choice & 2 ? take(1) : 0);
}

static size_t take_size(void) {
    unsigned choice = take(1);

    if (choice < 4)
        return UINTPTR_MAX - take(2);
    if (choice < 8)
        return 0;
    if (choice < 120)
        return (take(1) % 20 + 1) * MODEL_PAGE;
    if (choice < 200)
        return take(2) + 1;
    if (choice < 230)
        return (take(1) % 8 + 1) * 64 * KIB;
    if (choice < 250)
        return (take(1) % 3 + 1) * MIB;
    return 4 * MIB + take(1) * MODEL_PAGE;
}

/* To the end of the region, more often than chance would have it. */
static size_t take_size_in_region(uintptr_t address) {
    const struct model_region *region = model_find(&model, address);
    size_t size = take_size();
    size_t rest = region ? region->base + region->page_count * MODEL_PAGE - address : 0;

    if (size > rest && rest > 0 && size < UINTPTR_MAX / 2 && (take(1) & 3) != 0)
        return rest;
    return size;
}

/* Whether everything that is mapped at an address is known: not so beside regions that the kernel
 * or mimalloc placed. */
static bool in_window(uintptr_t address) {
    return (address >= windows[0].start && address < windows[0].end) ||
           (address >= windows[1].start && address < windows[1].end);
}

static void expect(enum moat_status is, enum moat_status should) {
    if (is != should)
        verify_fail("%s instead of %s: %s", moat_status_describe(is)->name,
                    moat_status_describe(should)->name, moat_last_error_text());
}

static void check_range(uintptr_t address, size_t size) {
    const struct model_region *region = model_find(&model, address);
    if (!region)
        return;
    uintptr_t end = region->base + region->page_count * MODEL_PAGE;
    uintptr_t start = address / MODEL_PAGE * MODEL_PAGE;
    verify_queries(&model, managers, region->base, end);
    verify_pages(&model, start > region->base ? start - MODEL_PAGE : start - MODEL_PAGE,
                 size < end - start ? start + size / MODEL_PAGE * MODEL_PAGE + 2 * MODEL_PAGE
                                    : end + MODEL_PAGE);
}

static void check_all(void) {
    for (unsigned i = 0; i < 2; i++) {
        verify_queries(&model, managers, windows[i].start, windows[i].end);
        verify_pages(&model, windows[i].start, windows[i].end);
    }
    for (size_t i = 0; i < model.region_count; i++)
        check_range(model.regions[i].base, SIZE_MAX);
    for (unsigned owner = 0; owner < MODEL_OWNERS; owner++)
        verify_stats(&model, owner, managers[owner]);
}

static void reserve(unsigned owner) {
    unsigned choice = take(1);
    uintptr_t address = choice & 1 ? take_address() : 0;
    size_t size = take_size();
    uint32_t protection = take_protection();
    uint32_t flags = choice >> 1 & 3;
    uintptr_t base = 0;
    size_t page_count = 0;
    void *got = managers;

    if (choice >= 252)
        flags |= 0x10;
    if (model.region_count == MODEL_REGIONS_MAX)
        return;
    verify_note("%u reserve %#lx size %#zx protection %#x flags %u", owner, (unsigned long)address,
                size, protection, flags);
    enum moat_status should =
        model_reserve(&model, address, size, protection, flags, &base, &page_count);
    enum moat_status is =
        moat_reserve(managers[owner], (void *)address, size, protection, flags, &got);
    if (address == 0 || in_window(base) || should || is != MOAT_INVALID_ADDRESS)
        expect(is, should);
    if (is) {
        if (got)
            verify_fail("a failed reserve left %p", got);
        return;
    }
    if ((address && (uintptr_t)got != base) || (uintptr_t)got % MODEL_GRANULE)
        verify_fail("reserved at %p", got);
    base = (uintptr_t)got;
    if (model_find(&model, base) || model_next(&model, base) < base + page_count * MODEL_PAGE)
        verify_fail("reserved at %p, over another region", got);
    if (!address && (model_find(&model, base - MODEL_PAGE) ||
                     model_find(&model, base + page_count * MODEL_PAGE)))
        verify_fail("reserved at %p, without a guard", got);
    model_add(&model, owner, base, page_count, protection, (flags & MOAT_RESERVE_COMMIT) != 0);
    check_range(base, SIZE_MAX);
}

static void commit_or_reset(unsigned owner, bool commit) {
    uintptr_t address = take_address();
    size_t size = take_size_in_region(address);
    uint32_t protection = take_protection();
    void *start = NULL;

    verify_note("%u %s %#lx size %#zx protection %#x", owner, commit ? "commit" : "reset",
                (unsigned long)address, size, protection);
    enum moat_status should =
        (commit ? model_commit : model_reset)(&model, owner, address, size, protection);
    enum moat_status is = (commit ? moat_commit : moat_reset)(managers[owner], (void *)address,
                                                              size, protection, &start);
    expect(is, should);
    if (!is && (uintptr_t)start != address / MODEL_PAGE * MODEL_PAGE)
        verify_fail("the start is %p", start);
    check_range(address, size);
}

static void decommit(unsigned owner) {
    uintptr_t address = take_address();
    size_t size = take_size_in_region(address);

    verify_note("%u decommit %#lx size %#zx", owner, (unsigned long)address, size);
    enum moat_status should = model_decommit(&model, owner, address, size);
    expect(moat_decommit(managers[owner], (void *)address, size), should);
    check_range(address, size ? size : SIZE_MAX);
}

static void release(unsigned owner) {
    uintptr_t address = take_address();
    struct model_region *region = model_find(&model, address);
    struct model_region was = region ? *region : (struct model_region){0};

    if (region && (take(1) & 3) != 0)
        address = region->base + take(2) % MODEL_PAGE;
    verify_note("%u release %#lx", owner, (unsigned long)address);
    enum moat_status should = model_release(&model, owner, address);
    expect(moat_release(managers[owner], (void *)address), should);
    /* What mimalloc supplied is its own again; elsewhere every page traps. */
    bool given_away = moat_manager_options(managers[owner])->backend == MOAT_BACKEND_MIMALLOC;
    if (!should && !given_away)
        verify_pages(&model, was.base - MODEL_PAGE, was.base + (was.page_count + 1) * MODEL_PAGE);
}

static void protect(unsigned owner) {
    unsigned choice = take(1);
    uintptr_t address = take_address();
    size_t size = take_size_in_region(address);
    uint32_t protection = take_protection();
    uint32_t old = 0, old_should = 0;

    verify_note("%u protect %#lx size %#zx protection %#x", owner, (unsigned long)address, size,
                protection);
    enum moat_status should = model_protect(&model, choice < 30 ? MODEL_OWNERS : owner, address,
                                            size, protection, choice > 250 ? NULL : &old_should);
    enum moat_status is = moat_protect(choice < 30 ? NULL : managers[owner], (void *)address, size,
                                       protection, choice > 250 ? NULL : &old);
    expect(is, should);
    if (!is && old != old_should)
        verify_fail("the old protection is %#x, not %#x", old, old_should);
    check_range(address, size);
}

static void fill(void) {
    uintptr_t address = take_address() / MODEL_PAGE * MODEL_PAGE;
    unsigned count = take(1) % 32 + 1;
    uint8_t content = (uint8_t)take(1);
    struct model_region *region = model_find(&model, address);

    for (size_t i = region ? (address - region->base) / MODEL_PAGE : 0;
         region && i < region->page_count && count > 0; i++, count--) {
        if (!model_writable(&region->pages[i]))
            continue;
        verify_fill(region->base + i * MODEL_PAGE, content);
        region->pages[i].content = content;
        region->pages[i].unsure = false;
    }
}

static void query_anywhere(void) {
    struct moat_page_info info;
    uintptr_t address = take_address();
    enum moat_status is = moat_query((const void *)address, &info);

    expect(is, address < MODEL_USER_END ? MOAT_OK : MOAT_INVALID_ARGUMENT);
    if (!is && ((uintptr_t)info.base != address / MODEL_PAGE * MODEL_PAGE || info.size == 0))
        verify_fail("query of %#lx: base %p", (unsigned long)address, info.base);
}

static void stay_or_go(unsigned owner) {
    unsigned which = take(1);
    uintptr_t address = take_address();
    size_t size = take_size_in_region(address);
    residency_try(&model, managers[owner], owner, which, address, size);
    check_range(address, size);
}

static void operate(void) {
    unsigned choice = take(1);
    unsigned owner = choice & 1;

    switch (choice >> 1 & 15) {
    case 0:
    case 1:
    case 2:
        reserve(owner);
        break;
    case 3:
    case 4:
    case 5:
        commit_or_reset(owner, true);
        break;
    case 6:
        commit_or_reset(owner, false);
        break;
    case 7:
    case 8:
        decommit(owner);
        break;
    case 9:
        release(owner);
        break;
    case 10:
    case 11:
        protect(owner);
        break;
    case 12:
        query_anywhere();
        break;
    case 13:
        stay_or_go(owner);
        break;
    default:
        fill();
    }
}

static struct moat_manager *create(unsigned mechanism) {
    struct moat_options options;
    struct moat_manager *manager;

    moat_options_init(&options);
    options.report = MOAT_REPORT_OFF;
    options.timeout_ms = 1000;
    options.quarantine_regions = mechanism & 1 ? 4 : 0;
    options.trap = mechanism == 1 ? MOAT_TRAP_PROTECT : MOAT_TRAP_AUTO;
    if (mechanism == 2)
        options.backend = MOAT_BACKEND_MIMALLOC;
    enum moat_status status = moat_manager_create(&options, &manager);
    if (status == MOAT_NOT_SUPPORTED && mechanism == 2) /* no such library here */
        return create(0);
    if (status)
        verify_fail("create: %s", moat_last_error_text());
    return manager;
}

/* Addresses in the arena of a mechanism where nothing is yet. */
static uintptr_t arena_window(struct moat_manager *manager) {
    void *base;
    if (moat_reserve(manager, NULL, WINDOW_SIZE + 4 * MIB, MOAT_PAGE_NOACCESS, 0, &base) ||
        moat_release(manager, base))
        verify_fail("no window: %s", moat_last_error_text());
    return (uintptr_t)base + MIB;
}

static uintptr_t outside_window(void) {
    void *base = mmap(NULL, MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uintptr_t start = ((uintptr_t)base - OUTSIDE_DISTANCE) / MIB * MIB + 320 * KIB;
    void *there = mmap((void *)start, WINDOW_SIZE, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (base == MAP_FAILED || there != (void *)start)
        verify_fail("no window outside the arenas at %#lx", (unsigned long)start);
    munmap(base, MIB);
    munmap(there, WINDOW_SIZE);
    return start;
}

static void open_windows(unsigned mechanism) {
    static uintptr_t starts[MECHANISMS];
    static uintptr_t outside;

    if (!starts[mechanism] && mechanism < 2) {
        struct moat_manager *manager = create(mechanism);
        starts[mechanism] = arena_window(manager);
        moat_manager_destroy(manager);
    }
    if (!outside)
        outside = outside_window();
    uintptr_t inside = starts[mechanism % 2];
    windows[0] = (struct window){inside, inside + WINDOW_SIZE};
    windows[1] = (struct window){outside, outside + WINDOW_SIZE};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input.data = data;
    input.left = size;
    verify_forget();
    unsigned mechanisms = take(1);
    open_windows(0);
    open_windows(mechanisms / MECHANISMS % 2);
    managers[0] = create(mechanisms % MECHANISMS);
    managers[1] = create(mechanisms / MECHANISMS % MECHANISMS);

    for (unsigned count = 0; input.left > 0 && count < OPERATIONS_MAX; count++) {
        operate();
        if (count % FULL_CHECK_EVERY == FULL_CHECK_EVERY - 1)
            check_all();
    }
    check_all();
    for (unsigned owner = 0; owner < MODEL_OWNERS; owner++) {
        verify_note("%u destroy", owner);
        moat_manager_destroy(managers[owner]);
        model_drop_owner(&model, owner);
        for (unsigned i = 0; i < 2; i++) {
            verify_queries(&model, managers, windows[i].start, windows[i].end);
            verify_pages(&model, windows[i].start, windows[i].end);
        }
    }
    return 0;
}
