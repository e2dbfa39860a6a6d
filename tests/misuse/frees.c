/* SPDX-License-Identifier: MIT */
/*
 * frees: releases and decommits that no correct program makes. What is freed is foreign, another
 * owner's, free already, or not what it was taken for; the call refuses, and says so.
 */
#define _GNU_SOURCE
#include "support/misused.h"

#include <moat/heap.h>
#include <moat/lock.h>

#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>

/* --- Foreign memory --- */

static uint32_t release_foreign(const struct face *face, struct expected *expected,
                                const void *address, const char *what) {
    region(face, GRANULE);
    expect(expected, MOAT_FOUND_FOREIGN, NOT_OURS, "release", address, NO_SIZE);
    say(expected, "in no region: that is %s; pass what was reserved", what);
    return face->release((void *)(uintptr_t)address);
}

static uint32_t null(const struct face *face, struct expected *expected) {
    return release_foreign(face, expected, NULL, "NULL");
}

static uint32_t hole(const struct face *face, struct expected *expected) {
    return release_foreign(face, expected, (void *)GRANULE,
                           "address space where nothing is mapped");
}

static uint32_t code(const struct face *face, struct expected *expected) {
    return release_foreign(face, expected, (const void *)(uintptr_t)&code,
                           "a file mapped privately, as programs and libraries are (r-x)");
}

static void *mapped(int flags) {
    void *map = mmap(NULL, GRANULE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    must(map != MAP_FAILED, "mmap");
    return map;
}

static uint32_t anonymous(const struct face *face, struct expected *expected) {
    return release_foreign(
        face, expected, mapped(MAP_PRIVATE),
        "memory that somebody else mapped, as a heap, a stack or static data (rw-)");
}

static uint32_t shared(const struct face *face, struct expected *expected) {
    return release_foreign(face, expected, mapped(MAP_SHARED),
                           "shared memory, or a file mapped shared (rw-)");
}

static uint32_t books(const struct face *face, struct expected *expected) {
    return release_foreign(face, expected, face->manager, "memory of Moat itself");
}

static uint32_t behind(const struct face *face, struct expected *expected) {
    unsigned char *base = region(face, GRANULE);
    expect(expected, MOAT_FOUND_FOREIGN, NOT_OURS, "release", base + GRANULE, NO_SIZE);
    say(expected,
        "in no region: that is free space of Moat, 0 bytes behind the region of 65536 bytes at "
        "%#lx; pass what was reserved",
        number(base));
    return face->release(base + GRANULE);
}

static uint32_t tail(const struct face *face, struct expected *expected) {
    unsigned char *base = region(face, GRANULE - PAGE);
    expect(expected, MOAT_FOUND_FOREIGN, NOT_OURS, "decommit", base + GRANULE - PAGE, PAGE);
    say(expected,
        "in no region: that is free space of Moat, 0 bytes behind the region of 61440 bytes at "
        "%#lx; pass what was reserved",
        number(base));
    return face->decommit(base + GRANULE - PAGE, PAGE);
}

static uint32_t above_user_space(const struct face *face, struct expected *expected) {
    return release_foreign(face, expected, (void *)UINT64_C(0x0000800000000000),
                           "above user space");
}

/* Win32 calls such an address a bad argument. */
static uint32_t above_user_space_of_win32(const struct face *face, struct expected *expected) {
    void *address = (void *)UINT64_C(0x0000800000000000);
    region(face, GRANULE);
    expect(expected, MOAT_FOUND_FOREIGN, INVALID, "VirtualFree", address, 0);
    say(expected, "in no region: that is above user space; pass what was reserved");
    return face->release(address);
}

/* Without address randomisation the first stack lies above what is user space to Win32. */
static uint32_t own_stack(const struct face *face, struct expected *expected) {
    void *local = __builtin_frame_address(0); /* a variable may lie elsewhere: sanitizers */
    bool above = !face->heap_free && (uintptr_t)local > UINT64_C(0x7FFFFFFEFFFF);
    region(face, GRANULE);
    if (above)
        expect(expected, MOAT_FOUND_OWN_STACK, INVALID, "VirtualFree", local, 0);
    else
        expect(expected, MOAT_FOUND_OWN_STACK, NOT_OURS, "release", local, NO_SIZE);
    say(expected, "on the stack of the thread that calls; that goes when the thread ends");
    return face->release(local);
}

/* --- Stacks --- */

static struct {
    const struct face *face;
    uint32_t code;
    char text[512];
    void *local;
    pthread_barrier_t met;
} other;

static void *stand_still(void *unused) {
    char local = 0;
    (void)unused;
    other.local = &local;
    pthread_barrier_wait(&other.met);
    pthread_barrier_wait(&other.met);
    return NULL;
}

static uint32_t stack_of_another_thread(const struct face *face, struct expected *expected) {
    pthread_t thread;
    pthread_barrier_init(&other.met, NULL, 2);
    must(pthread_create(&thread, NULL, stand_still, NULL) == 0, "thread");
    pthread_barrier_wait(&other.met);
    return release_foreign(
        face, expected, other.local,
        "memory that somebody else mapped, as a heap, a stack or static data (rw-)");
}

static void *release_under_oneself(void *base) {
    other.code = other.face->release(base);
    snprintf(other.text, sizeof other.text, "%s", moat_last_error_text());
    return NULL;
}

static void *decommit_under_oneself(void *base) {
    other.code = other.face->decommit(base, 32 * GRANULE);
    snprintf(other.text, sizeof other.text, "%s", moat_last_error_text());
    return NULL;
}

/* A host that makes its threads stacks of regions: what they run on cannot go. */
static uint32_t run_on(const struct face *face, struct expected *expected, void *(*act)(void *)) {
    pthread_attr_t attributes;
    pthread_t thread;
    void *base;
    must(moat_reserve(face->manager, NULL, 32 * GRANULE, RW, MOAT_RESERVE_COMMIT, &base) == MOAT_OK,
         "reserve");
    expected->address = base;
    about(expected, RESERVED, base, 32 * GRANULE);
    say(expected,
        "the thread that calls runs on the region of 2097152 bytes at %#lx, as its stack; let "
        "another thread free it",
        number(base));
    other.face = face;
    must(pthread_attr_init(&attributes) == 0 &&
             pthread_attr_setstack(&attributes, base, 32 * GRANULE) == 0 &&
             pthread_create(&thread, &attributes, act, base) == 0 &&
             pthread_join(thread, NULL) == 0,
         "a thread on the region");
    must(moat_release(face->manager, base) == MOAT_OK, "another thread frees it");
    expected->text = other.text;
    return other.code;
}

static uint32_t release_of_a_stack_region(const struct face *face, struct expected *expected) {
    expect(expected, MOAT_FOUND_OWN_STACK, WRONG_ADDRESS, "release", NULL, NO_SIZE);
    return run_on(face, expected, release_under_oneself);
}

static uint32_t decommit_of_a_stack_region(const struct face *face, struct expected *expected) {
    expect(expected, MOAT_FOUND_OWN_STACK, WRONG_ADDRESS, "decommit", NULL, 32 * GRANULE);
    return run_on(face, expected, decommit_under_oneself);
}

/* --- Others' memory --- */

static uint32_t of_another_manager(const struct face *face, struct expected *expected) {
    struct moat_manager *stranger;
    void *base;
    region(face, GRANULE);
    must(moat_manager_create(NULL, &stranger) == MOAT_OK, "manager");
    must(moat_reserve(stranger, NULL, GRANULE, RW, 0, &base) == MOAT_OK, "reserve");
    expect(expected, MOAT_FOUND_OTHER_MANAGER, NOT_OURS, "release", base, NO_SIZE);
    about(expected, RESERVED, base, GRANULE);
    say(expected,
        "in the region of 65536 bytes at %#lx, which another manager reserved; call it with "
        "that manager",
        number(base));
    return face->release(base);
}

static uint32_t inside_another_managers(const struct face *face, struct expected *expected) {
    struct moat_manager *stranger;
    void *base;
    region(face, GRANULE);
    must(moat_manager_create(NULL, &stranger) == MOAT_OK, "manager");
    must(moat_reserve(stranger, NULL, GRANULE, RW, 0, &base) == MOAT_OK, "reserve");
    unsigned char *inside = (unsigned char *)base + 2 * PAGE;
    expect(expected, MOAT_FOUND_OTHER_MANAGER, NOT_OURS, "release", inside, NO_SIZE);
    about(expected, RESERVED, base, GRANULE);
    say(expected,
        "in the region of 65536 bytes at %#lx, which another manager reserved; call it with that "
        "manager",
        number(base));
    return face->release(inside);
}

static uint32_t inside_a_heap(const struct face *face, struct expected *expected) {
    unsigned char *block = face->heap_alloc(20000);
    struct moat_page_info info;
    must(moat_query(block, &info) == MOAT_OK, "query");
    unsigned char *base = info.allocation_base;
    size_t size = (size_t)((unsigned char *)info.base + info.size - base);
    expect(expected, MOAT_FOUND_HEAP_MEMORY, NOT_OURS, "release", base + 5 * PAGE, NO_SIZE);
    about(expected, RESERVED, base, size);
    say(expected,
        "in the region of %zu bytes at %#lx, which belongs to a heap; only the heap's own calls "
        "take it",
        size, number(base));
    return face->release(base + 5 * PAGE);
}

static uint32_t of_a_heap(const struct face *face, struct expected *expected) {
    unsigned char *block = face->heap_alloc(64);
    struct moat_page_info info;
    must(moat_query(block, &info) == MOAT_OK, "query");
    expect(expected, MOAT_FOUND_HEAP_MEMORY, NOT_OURS, "decommit", block, 64);
    about(expected, RESERVED, info.allocation_base, GRANULE);
    say(expected,
        "in the region of 65536 bytes at %#lx, which belongs to a heap; only the heap's own "
        "calls take it",
        number(info.allocation_base));
    return face->decommit(block, 64);
}

/* --- Freed before --- */

static uint32_t freed_before(const struct face *face, struct expected *expected, const char *call,
                             size_t offset, size_t size) {
    unsigned char *base = region(face, GRANULE);
    must(face->release(base) == 0, "release");
    expect(expected, MOAT_FOUND_ALREADY_FREED, NOT_OURS, call, base + offset, size);
    about(expected, RESERVED | RELEASED, base, GRANULE);
    say(expected,
        "the region of 65536 bytes at %#lx was released #.# s ago by thread #; a region is "
        "released once",
        number(base));
    return size == NO_SIZE ? face->release(base + offset) : face->decommit(base + offset, size);
}

static uint32_t released_twice(const struct face *face, struct expected *expected) {
    return freed_before(face, expected, "release", 0, NO_SIZE);
}

static uint32_t released_inside_what_was_released(const struct face *face,
                                                  struct expected *expected) {
    return freed_before(face, expected, "release", 3 * PAGE, NO_SIZE);
}

static uint32_t decommitted_after_release(const struct face *face, struct expected *expected) {
    return freed_before(face, expected, "decommit", PAGE, PAGE);
}

/* --- The wrong start or size --- */

static uint32_t interior(const struct face *face, struct expected *expected) {
    unsigned char *base = region(face, GRANULE);
    expect(expected, MOAT_FOUND_INTERIOR, NOT_OURS, "release", base + PAGE, NO_SIZE);
    about(expected, RESERVED, base, GRANULE);
    say(expected,
        "4096 bytes into the region of 65536 bytes at %#lx; a region is released by its base",
        number(base));
    return face->release(base + PAGE);
}

static uint32_t whole_from_inside(const struct face *face, struct expected *expected) {
    unsigned char *base = region(face, GRANULE);
    expect(expected, MOAT_FOUND_WRONG_START, WRONG_ADDRESS, "decommit", base + PAGE, 0);
    about(expected, RESERVED, base, GRANULE);
    say(expected,
        "size 0 means a whole region, by its base; the region of 65536 bytes at %#lx begins "
        "before",
        number(base));
    return face->decommit(base + PAGE, 0);
}

static uint32_t past_the_end(const struct face *face, struct expected *expected) {
    unsigned char *base = region(face, GRANULE);
    expect(expected, MOAT_FOUND_WRONG_SIZE, LEAVES, "decommit", base + PAGE, GRANULE);
    about(expected, RESERVED, base, GRANULE);
    say(expected,
        "65536 bytes from there run past the end of the region of 65536 bytes at %#lx; up to "
        "there it is 61440 bytes",
        number(base));
    return face->decommit(base + PAGE, GRANULE);
}

static uint32_t around_the_world(const struct face *face, struct expected *expected) {
    unsigned char *base = region(face, GRANULE);
    expect(expected, MOAT_FOUND_WRONG_SIZE, INVALID, "decommit", base, SIZE_MAX - 1);
    say(expected, "18446744073709551614 bytes from there wrap around the end of the address "
                  "space");
    return face->decommit(base, SIZE_MAX - 1);
}

static uint32_t into_the_next(const struct face *face, struct expected *expected) {
    unsigned char *base = reserved(face, NULL, 2 * GRANULE);
    must(face->release(base) == 0, "release");
    must(reserved(face, base, GRANULE) == base, "reserve");
    must(reserved(face, base + GRANULE, GRANULE) == base + GRANULE, "reserve beside it");
    expect(expected, MOAT_FOUND_ACROSS_REGIONS, LEAVES, "decommit", base, GRANULE + 1);
    about(expected, RESERVED, base, GRANULE);
    say(expected,
        "65537 bytes from there run past the end of the region of 65536 bytes at %#lx, into the "
        "region at %#lx; a call is about one region",
        number(base), number(base + GRANULE));
    return face->decommit(base, GRANULE + 1);
}

/* --- Types of frees --- */

static uint32_t free_as(const struct face *face, struct expected *expected, size_t size,
                        uint32_t type) {
    unsigned char *base = region(face, GRANULE);
    expect(expected, MOAT_FOUND_UNKNOWN_TYPE, INVALID, "VirtualFree", base, size);
    about(expected, RESERVED, base, GRANULE);
    say(expected,
        "%#x is no type of free; it is MEM_DECOMMIT (0x4000) or MEM_RELEASE (0x8000), or "
        "MEM_RELEASE with one placeholder flag (1 or 2) and a size",
        type);
    return face->free_type(base, size, type);
}

static uint32_t no_type(const struct face *face, struct expected *expected) {
    return free_as(face, expected, 0, 0);
}

static uint32_t both_types(const struct face *face, struct expected *expected) {
    return free_as(face, expected, 0, 0xC000);
}

static uint32_t placeholder_without_size(const struct face *face, struct expected *expected) {
    return free_as(face, expected, 0, 0x8002);
}

static uint32_t release_with_size(const struct face *face, struct expected *expected) {
    unsigned char *base = region(face, GRANULE);
    expect(expected, MOAT_FOUND_RELEASE_WITH_SIZE, INVALID, "VirtualFree", base, GRANULE);
    about(expected, RESERVED, base, GRANULE);
    say(expected,
        "MEM_RELEASE with a size of 65536 bytes; a region is released as a whole, with size 0");
    return face->free_type(base, GRANULE, 0x8000);
}

/* --- Locks --- */

static void *lock_and_stay(void *base) {
    must(moat_lock(other.face->manager, base) == MOAT_OK, "lock");
    pthread_barrier_wait(&other.met);
    pthread_barrier_wait(&other.met);
    return NULL;
}

static uint32_t locked_by_another(const struct face *face, struct expected *expected) {
    unsigned char *base = region(face, GRANULE);
    pthread_t thread;
    other.face = face;
    pthread_barrier_init(&other.met, NULL, 2);
    must(pthread_create(&thread, NULL, lock_and_stay, base) == 0, "thread");
    pthread_barrier_wait(&other.met);
    expect(expected, MOAT_FOUND_LOCK_HELD, NOT_OWNER, "release", base, NO_SIZE);
    about(expected, RESERVED, base, GRANULE);
    say(expected,
        "another thread holds the lock of the region of 65536 bytes at %#lx; only that thread "
        "can release it",
        number(base));
    return face->release(base);
}

static uint32_t locked_by_oneself(const struct face *face, struct expected *expected) {
    unsigned char *base = region(face, GRANULE);
    must(moat_lock(face->manager, base) == MOAT_OK, "lock");
    expect(expected, MOAT_FOUND_LOCK_HELD, SUCCESS, "release", base, NO_SIZE);
    about(expected, RESERVED | RELEASED, base, GRANULE);
    say(expected,
        "the thread that calls held the lock of the region of 65536 bytes at %#lx; it is "
        "unlocked before it is released",
        number(base));
    return face->release(base);
}

int main(void) {
    static struct deed deeds[] = {
        DEED(null, ALL),
        DEED(hole, ALL),
        DEED(code, ALL),
        DEED(anonymous, ALL),
        DEED(shared, ALL),
        DEED(books, ALL),
        DEED(behind, ALL),
        DEED(tail, ALL),
        DEED(above_user_space, NATIVE | COM),
        DEED(above_user_space_of_win32, WIN32),
        DEED(own_stack, ALL),
        {"own_stack_of_a_thread", ALL, own_stack, true, NULL},
        DEED(stack_of_another_thread, ALL),
        DEED(release_of_a_stack_region, ALL),
        DEED(decommit_of_a_stack_region, ALL),
        DEED(of_another_manager, ALL),
        DEED(inside_another_managers, ALL),
        DEED(of_a_heap, ALL),
        DEED(inside_a_heap, ALL),
        DEED(released_twice, ALL),
        DEED(released_inside_what_was_released, ALL),
        DEED(decommitted_after_release, ALL),
        DEED(interior, ALL),
        DEED(whole_from_inside, ALL),
        DEED(past_the_end, ALL),
        DEED(around_the_world, ALL),
        DEED(into_the_next, ALL),
        DEED(no_type, WIN32 | COM),
        DEED(both_types, WIN32 | COM),
        DEED(placeholder_without_size, WIN32 | COM),
        DEED(release_with_size, WIN32 | COM),
        DEED(locked_by_another, ALL),
        DEED(locked_by_oneself, ALL),
    };
    return play(deeds, sizeof deeds / sizeof deeds[0]);
}
