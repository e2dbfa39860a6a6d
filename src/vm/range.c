/* SPDX-License-Identifier: MIT */
/* range: checking and telling. */
#include "vm/range.h"

#include "base/error_text.h"
#include "region/geometry.h"
#include "region/pages.h"
#include "region/powers.h"
#include "region/registry.h"
#include "vm/corruption.h"
#include "vm/limit.h"

#include <moat/moat.h>

#include <errno.h>

#define BASIC                                                                                      \
    (MOAT_PAGE_NOACCESS | MOAT_PAGE_READONLY | MOAT_PAGE_READWRITE | MOAT_PAGE_EXECUTE |           \
     MOAT_PAGE_EXECUTE_READ | MOAT_PAGE_EXECUTE_READWRITE)
#define MODIFIERS (MOAT_PAGE_GUARD | MOAT_PAGE_NOCACHE | MOAT_PAGE_WRITECOMBINE)

bool moat_protection_valid(uint32_t protection) {
    uint32_t basic = protection & BASIC;
    uint32_t modifier = protection & MODIFIERS;

    if (protection & ~(BASIC | MODIFIERS) || !moat_is_power_of_two(basic))
        return false;
    return modifier == 0 || (moat_is_power_of_two(modifier) && basic != MOAT_PAGE_NOACCESS);
}

bool moat_range_of(uintptr_t address, size_t size, uintptr_t limit, struct moat_range *range) {
    uintptr_t end;
    if (size == 0 || !moat_add_checked(address, size, &end) || end > limit)
        return false;
    range->start = moat_round_down(address, MOAT_PAGE);
    range->end = moat_round_up(end, MOAT_PAGE);
    return true;
}

uint32_t moat_protection_seen(uint8_t state, uint32_t reserved_with) {
    uint32_t protection = moat_page_protection(state);
    if (protection != MOAT_PAGE_NOACCESS)
        protection |= reserved_with & MOAT_PAGE_NOCACHE;
    return protection;
}

static const char found_before[] = "corruption was found before; nothing is done any more";

enum moat_status moat_fail(enum moat_status status, const char *what, uintptr_t address,
                           const char *why) {
    enum moat_status answer = moat_corruption_refusal(status, what, address);

    if (answer == MOAT_CORRUPT) /* its text is set */
        return answer;
    if (answer != status)
        why = found_before;
    moat_error_note(what, address, why);
    return answer;
}

enum moat_status moat_fail_wait(enum moat_status status, const char *what, uintptr_t address) {
    return moat_fail(status, what, address,
                     status == MOAT_ABANDONED
                         ? "the wait was called off, or the thread that held the lock ended"
                         : "the region stayed locked, or calls on its pages stayed unfinished");
}

enum moat_status moat_fail_latched(const char *what, uintptr_t address) {
    return moat_fail(MOAT_UNAVAILABLE, what, address, found_before);
}

enum moat_status moat_fail_books(enum moat_status status, const char *what, uintptr_t address) {
    uint64_t count, limit;
    const struct moat_want want = {
        .error = ENOMEM,
        .books = true,
        .start = moat_registry() == NULL,
        .mappings = moat_powers_at_map_limit(&count, &limit),
    };

    if (moat_latch_taken())
        return MOAT_CORRUPT;
    moat_limit_explain(what, address, &want, "no memory for the books");
    return status;
}

/* `otherwise` tells what the call was for. */
enum moat_status moat_fail_sized(int error, enum moat_status otherwise, const char *what,
                                 uintptr_t address, size_t size) {
    enum moat_status status = moat_powers_refusal(error, otherwise);
    const struct moat_want want = {
        .error = error,
        .locked = otherwise == MOAT_LOCK_LIMIT,
        .mappings = status == MOAT_MAP_LIMIT,
        .size = size,
    };

    moat_limit_explain(what, address, &want, "the kernel refused");
    return status;
}

enum moat_status moat_fail_kernel(int error, enum moat_status otherwise, const char *what,
                                  uintptr_t address) {
    return moat_fail_sized(error, otherwise, what, address, MOAT_PAGE);
}

enum moat_status moat_fail_place(enum moat_status status, const char *what, uintptr_t address,
                                 size_t size) {
    const struct moat_want want = {
        .error = ENOMEM,
        .address_space = true,
        .books = true, /* of the place; they may have been what was refused */
        .mappings = status == MOAT_MAP_LIMIT,
        .size = size < SIZE_MAX / 2 ? moat_round_up(size, MOAT_GRANULE) + 2 * MOAT_GRANULE : size,
    };

    if (moat_latch_taken())
        return MOAT_CORRUPT;
    moat_limit_explain(what, address, &want,
                       "there is no room in the address space, within the bounds asked for");
    return status;
}

/* MOAT_REGION_* of the region at an address; 0: none. */
static uint32_t flags_at(uintptr_t address) {
    struct moat_region_ref ref;
    return moat_region_find(address, &ref) ? ref.flags : 0;
}

/* What is wrong with the mappings of a region's pages, by the kernel's word; NULL: nothing. */
static const char *find_damage(const struct moat_range *range, uintptr_t *where) {
    struct moat_os_mapping mapping;
    uint32_t flags = flags_at(range->start);
    bool shared = (flags & MOAT_REGION_MAPPED) != 0;
    /* The kernel keeps large pages in a file of its own. */
    bool file = shared || (flags & MOAT_REGION_LARGE);

    for (uintptr_t at = range->start; at < range->end; at = mapping.end) {
        if (moat_os_query(at, &mapping))
            return NULL;
        *where = at;
        if (!mapping.mapped)
            return "pages of a region are not mapped: somebody unmapped them";
        if (mapping.file != file || mapping.shared != shared)
            return "something else is mapped over pages of a region";
    }
    return NULL;
}

enum moat_status moat_fail_pages(int error, enum moat_status otherwise, const char *what,
                                 const struct moat_range *range) {
    uintptr_t where;
    const char *damage = find_damage(range, &where);

    /* Blocks are opened as a whole, and count as a whole. */
    if (!damage)
        return moat_fail_sized(error, otherwise, what, range->start,
                               moat_round_up(range->end, MOAT_BLOCK) -
                                   moat_round_down(range->start, MOAT_BLOCK));
    moat_latch(damage, where);
    return moat_fail(moat_latch_status(), what, where, damage);
}
