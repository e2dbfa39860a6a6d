/* SPDX-License-Identifier: MIT */
/*
 * protects: changes of rights that are refused: pages that are not committed, and pages that are
 * not the caller's to change.
 */
#define _GNU_SOURCE
#include "support/misused.h"

#include <sys/mman.h>

#define RO MOAT_PAGE_READONLY

static uint32_t never_committed(const struct face *face, struct expected *expected) {
    unsigned char *base = reserved(face, NULL, GRANULE);
    must(moat_commit(face->manager, base, 2 * PAGE, RW, NULL) == MOAT_OK, "commit");
    expect(expected, MOAT_FOUND_PROTECT_UNCOMMITTED, WRONG_ADDRESS, "protect", base + PAGE,
           2 * PAGE);
    about(expected, RESERVED, base, GRANULE);
    say(expected,
        "the page at %#lx, of the region of 65536 bytes at %#lx, is not committed; only committed "
        "pages have rights",
        number(base + 2 * PAGE), number(base));
    uint32_t code = face->protect(base + PAGE, 2 * PAGE, RO);
    base[PAGE] = 1; /* the page before has the rights it had */
    return code;
}

static uint32_t decommitted(const struct face *face, struct expected *expected) {
    unsigned char *base = reserved(face, NULL, GRANULE);
    must(moat_commit(face->manager, base, GRANULE, RW, NULL) == MOAT_OK, "commit");
    must(moat_decommit(face->manager, base + 3 * PAGE, PAGE) == MOAT_OK, "decommit");
    expect(expected, MOAT_FOUND_PROTECT_UNCOMMITTED, WRONG_ADDRESS, "protect", base, GRANULE);
    about(expected, RESERVED | DECOMMITTED, base, GRANULE);
    say(expected,
        "the page at %#lx, of the region of 65536 bytes at %#lx, was decommitted #.# s ago by "
        "thread #; only committed pages have rights",
        number(base + 3 * PAGE), number(base));
    uint32_t code = face->protect(base, GRANULE, RO);
    base[0] = 1;
    return code;
}

static uint32_t past_the_end(const struct face *face, struct expected *expected) {
    unsigned char *base = region(face, GRANULE);
    expect(expected, MOAT_FOUND_PROTECT_FOREIGN, WRONG_ADDRESS, "protect", base + PAGE, GRANULE);
    about(expected, RESERVED, base, GRANULE);
    say(expected,
        "the page at %#lx is free space of Moat, 0 bytes behind the region of 65536 bytes at "
        "%#lx; a call changes pages of one region of the caller's, or mapped ones",
        number(base + GRANULE), number(base));
    return face->protect(base + PAGE, GRANULE, RO);
}

static uint32_t after_release(const struct face *face, struct expected *expected) {
    unsigned char *base = region(face, GRANULE);
    must(face->release(base) == 0, "release");
    expect(expected, MOAT_FOUND_PROTECT_FOREIGN, WRONG_ADDRESS, "protect", base + PAGE, PAGE);
    about(expected, RESERVED | RELEASED, base, GRANULE);
    say(expected,
        "the page at %#lx is of the region of 65536 bytes at %#lx, which was released #.# s ago by "
        "thread #; a call changes pages of one region of the caller's, or mapped ones",
        number(base + PAGE), number(base));
    return face->protect(base + PAGE, PAGE, RO);
}

static uint32_t of_null(const struct face *face, struct expected *expected) {
    expect(expected, MOAT_FOUND_PROTECT_FOREIGN, WRONG_ADDRESS, "protect", NULL, PAGE);
    say(expected, "the page at 0 is NULL; a call changes pages of one region of the caller's, or "
                  "mapped ones");
    return face->protect(NULL, PAGE, RO);
}

static uint32_t into_the_next(const struct face *face, struct expected *expected) {
    unsigned char *base = reserved(face, NULL, 2 * GRANULE);
    must(face->release(base) == 0, "release");
    for (unsigned i = 0; i < 2; i++) {
        must(reserved(face, base + i * GRANULE, GRANULE) == base + i * GRANULE, "reserve");
        must(moat_commit(face->manager, base + i * GRANULE, GRANULE, RW, NULL) == MOAT_OK,
             "commit");
    }
    expect(expected, MOAT_FOUND_PROTECT_FOREIGN, WRONG_ADDRESS, "protect", base, 2 * GRANULE);
    about(expected, RESERVED, base, GRANULE);
    say(expected,
        "the page at %#lx is of the region of 65536 bytes at %#lx, another one; a call changes "
        "pages of one region of the caller's, or mapped ones",
        number(base + GRANULE), number(base + GRANULE));
    uint32_t code = face->protect(base, 2 * GRANULE, RO);
    base[0] = base[GRANULE] = 1;
    return code;
}

static uint32_t hole(const struct face *face, struct expected *expected) {
    unsigned char *map =
        mmap(NULL, 2 * GRANULE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(map != MAP_FAILED && munmap(map + GRANULE, PAGE) == 0, "mmap");
    region(face, GRANULE);
    expect(expected, MOAT_FOUND_PROTECT_FOREIGN, WRONG_ADDRESS, "protect", map, GRANULE + PAGE);
    say(expected,
        "the page at %#lx is address space where nothing is mapped; a call changes pages of one "
        "region of the caller's, or mapped ones",
        number(map + GRANULE));
    uint32_t code = face->protect(map, GRANULE + PAGE, RO);
    map[0] = 1;
    return code;
}

static uint32_t books(const struct face *face, struct expected *expected) {
    region(face, GRANULE);
    unsigned char *page = (unsigned char *)((uintptr_t)face->manager & ~(uintptr_t)(PAGE - 1));
    expect(expected, MOAT_FOUND_PROTECT_FOREIGN, WRONG_ADDRESS, "protect", page, PAGE);
    say(expected,
        "the page at %#lx is memory of Moat itself; a call changes pages of one region of the "
        "caller's, or mapped ones",
        number(page));
    return face->protect(page, PAGE, RO);
}

static uint32_t of_a_heap(const struct face *face, struct expected *expected) {
    unsigned char *block = face->heap_alloc(64);
    struct moat_page_info info;
    must(moat_query(block, &info) == MOAT_OK, "query");
    expect(expected, MOAT_FOUND_HEAP_MEMORY, WRONG_ADDRESS, "protect", block, 64);
    about(expected, RESERVED, info.allocation_base, GRANULE);
    say(expected,
        "in the region of 65536 bytes at %#lx, which belongs to a heap; only the heap's own calls "
        "take it",
        number(info.allocation_base));
    uint32_t code = face->protect(block, 64, RO);
    block[0] = 1;
    return code;
}

/* The other faces change regions of all managers. */
static uint32_t of_another_manager(const struct face *face, struct expected *expected) {
    struct moat_manager *stranger;
    void *base;
    region(face, GRANULE);
    must(moat_manager_create(NULL, &stranger) == MOAT_OK, "manager");
    must(moat_reserve(stranger, NULL, GRANULE, RW, MOAT_RESERVE_COMMIT, &base) == MOAT_OK,
         "reserve");
    expect(expected, MOAT_FOUND_OTHER_MANAGER, WRONG_ADDRESS, "protect", base, GRANULE);
    about(expected, RESERVED, base, GRANULE);
    say(expected,
        "in the region of 65536 bytes at %#lx, which another manager reserved; call it with that "
        "manager",
        number(base));
    uint32_t code = face->protect(base, GRANULE, RO);
    *(char *)base = 1;
    return code;
}

/* --- Rights that the execute policy refuses --- */

#define CODE_BLOCKED MOAT_CODE_BLOCKED, 1655, 0x80070677u

static uint32_t executable(const struct face *face, struct expected *expected, uint32_t protection,
                           const char *why) {
    unsigned char *base = region(face, GRANULE);
    expect(expected, MOAT_FOUND_EXECUTE, CODE_BLOCKED, "protect", base + PAGE, NO_SIZE);
    about(expected, RESERVED, base, GRANULE);
    say(expected, "execute=wx: %s; use a code heap", why);
    return face->protect(base + PAGE, PAGE, protection);
}

static uint32_t writable_and_executable(const struct face *face, struct expected *expected) {
    return executable(face, expected, MOAT_PAGE_EXECUTE_READWRITE,
                      "no page is writable and executable");
}

static uint32_t executable_later(const struct face *face, struct expected *expected) {
    return executable(face, expected, MOAT_PAGE_EXECUTE_READ,
                      "a page that was not executable from its commit on does not become so");
}

int main(void) {
    static struct deed deeds[] = {
        DEED(never_committed, ALL),
        DEED(decommitted, ALL),
        DEED(past_the_end, ALL),
        DEED(after_release, ALL),
        DEED(of_null, ALL),
        DEED(into_the_next, ALL),
        DEED(hole, ALL),
        DEED(books, ALL),
        DEED(of_a_heap, ALL),
        DEED(of_another_manager, NATIVE),
        {"writable_and_executable", ALL, writable_and_executable, false, ",execute=wx"},
        {"executable_later", ALL, executable_later, false, ",execute=wx"},
    };
    return play(deeds, sizeof deeds / sizeof deeds[0]);
}
