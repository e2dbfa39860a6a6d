/* SPDX-License-Identifier: MIT */
/*
 * misuse_place: in words, what lies at an address that no region holds.
 *
 * Easy to get wrong: thread stacks are anonymous memory like any other, and the kernel joins
 * neighbours, so that a mapping which holds a stack may hold other memory above it. A stack ends
 * below the thread's own static storage where both lie in one mapping.
 */
#include "os/os.h"
#include "region/arena.h"
#include "region/books.h"
#include "region/geometry.h"
#include "vm/adopt.h"
#include "vm/misuse.h"

bool moat_misuse_on_stack(uintptr_t address) {
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    uintptr_t token = moat_os_thread_token();
    struct moat_os_mapping mapping;

    if (address >= MOAT_OS_ADDRESS_END || moat_os_query(address, &mapping) || !mapping.mapped)
        return false;
    if (frame < mapping.start || frame >= mapping.end)
        return false;
    return token < frame || token >= mapping.end || address < token;
}

/* Guards are Moat's, and next to a region they are best named after it. */
static bool say_guard(struct moat_report_text *text, uintptr_t address) {
    struct moat_region_ref ref;
    const char *side = "behind";
    uintptr_t distance;

    if (moat_region_before(address, &ref) && address >= ref.base + ref.size &&
        address - (ref.base + ref.size) < MOAT_GRANULE) {
        distance = address - (ref.base + ref.size);
    } else if (moat_region_after(address, &ref) && ref.base - address <= MOAT_GRANULE) {
        distance = ref.base - address;
        side = "before";
    } else {
        return false;
    }
    moat_report_add(text, "free space of Moat, %zu bytes %s the region of %zu bytes at %#lx",
                    (size_t)distance, side, ref.size, (unsigned long)ref.base);
    return true;
}

static bool is_in_span(uintptr_t address) {
    struct moat_region_ref ref;
    return (moat_region_before(address, &ref) && address < ref.span_end) ||
           (moat_region_after(address, &ref) && address >= ref.span_start);
}

static void say_mapping(struct moat_report_text *text, uintptr_t address) {
    struct moat_os_mapping mapping;
    const char *what = "memory that somebody else mapped, as a heap, a stack or static data";

    if (moat_os_query(address, &mapping)) {
        moat_report_add(text, "memory that the kernel tells nothing of");
        return;
    }
    if (!mapping.mapped) {
        moat_report_add(text, "address space where nothing is mapped");
        return;
    }
    if (mapping.shared)
        what = "shared memory, or a file mapped shared";
    else if (mapping.file)
        what = "a file mapped privately, as programs and libraries are";
    moat_report_add(text, "%s (%c%c%c)", what, mapping.access & MOAT_OS_READ ? 'r' : '-',
                    mapping.access & MOAT_OS_WRITE ? 'w' : '-',
                    mapping.access & MOAT_OS_EXECUTE ? 'x' : '-');
}

void moat_misuse_say_place(struct moat_report_text *text, uintptr_t address) {
    struct moat_adopted around;
    uintptr_t start, end;

    if (address == 0) {
        moat_report_add(text, "NULL");
    } else if (address >= MOAT_OS_ADDRESS_END) {
        moat_report_add(text, "above user space");
    } else if (moat_books_contain(address, &start, &end)) {
        moat_report_add(text, "memory of Moat itself");
    } else if (moat_arena_of(address) || is_in_span(address)) {
        if (!say_guard(text, address))
            moat_report_add(text, "free space of Moat");
    } else if (moat_arena_border(address, &start, &end)) {
        moat_report_add(text, "free space of Moat");
    } else {
        moat_adopted_around(address, &around);
        if (around.base)
            moat_report_add(text, "memory that moat_adopt was told of (from %#lx on)",
                            (unsigned long)around.base);
        else
            say_mapping(text, address);
    }
}
