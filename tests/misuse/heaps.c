/* SPDX-License-Identifier: MIT */
/*
 * heaps: frees of what is no live block: another heap's, freed before, inside a block, no block at
 * all. The block that was meant lives on.
 */
#define _GNU_SOURCE
#include "support/misused.h"

#include <moat/code.h>
#include <moat/heap.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define CALL "heap free"

enum { HEAPS = NATIVE | COM };

/* The region that a block lies in, and its size. */
static void about_block(struct expected *expected, const void *block, unsigned facts) {
    struct moat_page_info info;
    must(moat_query(block, &info) == MOAT_OK, "query");
    size_t size = (size_t)((char *)info.base + info.size - (char *)info.allocation_base);
    about(expected, facts, info.allocation_base, size);
}

static uint32_t freed_before(const struct face *face, struct expected *expected) {
    unsigned char *block = face->heap_alloc(100), *neighbour = face->heap_alloc(100);
    must(face->heap_free(block) == 0, "free");
    expect(expected, MOAT_FOUND_ALREADY_FREED, NOT_OURS, CALL, block, NO_SIZE);
    about_block(expected, block, RESERVED);
    say(expected, "the block of 112 bytes at %#lx is free; a block is freed once", number(block));
    memset(neighbour, 1, 100);
    return face->heap_free(block);
}

static uint32_t large_freed_before(const struct face *face, struct expected *expected) {
    unsigned char *block = face->heap_alloc(100000);
    expect(expected, MOAT_FOUND_ALREADY_FREED, NOT_OURS, CALL, block, NO_SIZE);
    about_block(expected, block, RESERVED | RELEASED);
    must(face->heap_free(block) == 0, "free");
    say(expected,
        "the region of %zu bytes at %#lx, which held it, was released #.# s ago by thread #; a "
        "block is freed once",
        expected->length, number(expected->base));
    return face->heap_free(block);
}

static uint32_t inside(const struct face *face, struct expected *expected) {
    unsigned char *block = face->heap_alloc(100);
    expect(expected, MOAT_FOUND_INTERIOR, NOT_OURS, CALL, block + 16, NO_SIZE);
    about_block(expected, block, RESERVED);
    say(expected, "16 bytes into the block of 112 bytes at %#lx; a block is freed by its start",
        number(block));
    uint32_t code = face->heap_free(block + 16);
    memset(block, 1, 100);
    return code;
}

static uint32_t inside_a_large_one(const struct face *face, struct expected *expected) {
    unsigned char *block = face->heap_alloc(100000);
    expect(expected, MOAT_FOUND_INTERIOR, NOT_OURS, CALL, block + 50000, NO_SIZE);
    about_block(expected, block, RESERVED);
    say(expected,
        "50000 bytes into the block of 100000 bytes at %#lx; a block is freed by its start",
        number(block));
    uint32_t code = face->heap_free(block + 50000);
    memset(block, 1, 100000);
    return code;
}

static uint32_t before_a_large_one(const struct face *face, struct expected *expected) {
    unsigned char *block = face->heap_alloc(100000);
    expect(expected, MOAT_FOUND_FOREIGN, NOT_OURS, CALL, block - 16, NO_SIZE);
    about_block(expected, block, RESERVED);
    say(expected, "in memory of this heap where no block is; pass what was allocated");
    return face->heap_free(block - 16);
}

static uint32_t of_another_heap(const struct face *face, struct expected *expected) {
    struct moat_heap *stranger;
    void *block;
    must(moat_heap_create(face->manager, 0, &stranger) == MOAT_OK, "heap");
    must(moat_heap_alloc(stranger, 100, &block) == MOAT_OK, "alloc");
    expect(expected, MOAT_FOUND_OTHER_HEAP, NOT_OURS, CALL, block, NO_SIZE);
    about_block(expected, block, RESERVED);
    say(expected, "in memory of another heap; a block is freed in its own heap");
    uint32_t code = face->heap_free(block);
    must(moat_heap_free(stranger, block) == MOAT_OK, "its own heap");
    return code;
}

/* Heaps for code keep other books. */
static uint32_t of_a_code_heap(const struct face *face, struct expected *expected) {
    struct moat_code_heap *stranger;
    struct moat_code_block block;
    struct moat_page_info info;
    must(moat_code_heap_create(face->manager, 4 * GRANULE, NULL, &stranger) == MOAT_OK, "heap");
    must(moat_code_alloc(stranger, 100, &block) == MOAT_OK, "alloc");
    must(moat_query(block.execute, &info) == MOAT_OK, "query");
    expect(expected, MOAT_FOUND_OTHER_HEAP, NOT_OURS, CALL, block.execute, NO_SIZE);
    about(expected, RESERVED, info.allocation_base, 4 * GRANULE);
    say(expected, "in memory of another heap; a block is freed in its own heap");
    return face->heap_free(block.execute);
}

static uint32_t a_region(const struct face *face, struct expected *expected) {
    unsigned char *base = region(face, GRANULE);
    expect(expected, MOAT_FOUND_FOREIGN, NOT_OURS, CALL, base, NO_SIZE);
    about(expected, RESERVED, base, GRANULE);
    say(expected, "in the region of 65536 bytes at %#lx, which is no heap's; a region is released",
        number(base));
    return face->heap_free(base);
}

static struct {
    const struct face *face;
    uint32_t code;
    char text[512];
} other;

static void *free_under_oneself(void *block) {
    other.code = other.face->heap_free(block);
    snprintf(other.text, sizeof other.text, "%s", moat_last_error_text());
    return NULL;
}

/* The region of a large block cannot go while the thread that frees it stands there. */
static uint32_t a_stack_of_a_block(const struct face *face, struct expected *expected) {
    unsigned char *block = face->heap_alloc(16 * GRANULE);
    struct moat_page_info info;
    pthread_attr_t attributes;
    pthread_t thread;
    must(moat_query(block, &info) == MOAT_OK, "query");
    unsigned char *base = info.allocation_base;
    size_t size = (size_t)((unsigned char *)info.base + info.size - base);
    expect(expected, MOAT_FOUND_OWN_STACK, WRONG_ADDRESS, "release", base, NO_SIZE);
    about(expected, RESERVED, base, size);
    say(expected,
        "the thread that calls runs on the region of %zu bytes at %#lx, as its stack; let another "
        "thread free it",
        size, number(base));
    other.face = face;
    must(pthread_attr_init(&attributes) == 0 &&
             pthread_attr_setstack(&attributes, block, 16 * GRANULE) == 0 &&
             pthread_create(&thread, &attributes, free_under_oneself, block) == 0 &&
             pthread_join(thread, NULL) == 0,
         "a thread on the block");
    must(face->heap_free(block) == 0, "another thread frees it");
    expected->text = other.text;
    return other.code;
}

static uint32_t own_stack(const struct face *face, struct expected *expected) {
    void *local = __builtin_frame_address(0); /* a variable may lie elsewhere: sanitizers */
    region(face, GRANULE);
    expect(expected, MOAT_FOUND_OWN_STACK, NOT_OURS, CALL, local, NO_SIZE);
    say(expected, "on the stack of the thread that calls; that goes when the thread ends");
    return face->heap_free(local);
}

static uint32_t foreign(const struct face *face, struct expected *expected) {
    void *map = mmap(NULL, GRANULE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(map != MAP_FAILED, "mmap");
    region(face, GRANULE);
    expect(expected, MOAT_FOUND_FOREIGN, NOT_OURS, CALL, map, NO_SIZE);
    say(expected, "in no region: that is memory that somebody else mapped, as a heap, a stack or "
                  "static data (---); pass what was reserved");
    return face->heap_free(map);
}

int main(void) {
    static struct deed deeds[] = {
        DEED(freed_before, HEAPS),
        DEED(large_freed_before, HEAPS),
        DEED(inside, HEAPS),
        DEED(inside_a_large_one, HEAPS),
        DEED(before_a_large_one, HEAPS),
        DEED(of_another_heap, HEAPS),
        DEED(of_a_code_heap, HEAPS),
        DEED(a_region, HEAPS),
        {"own_stack_of_a_thread", HEAPS, own_stack, true, NULL},
        DEED(own_stack, HEAPS),
        DEED(a_stack_of_a_block, HEAPS),
        DEED(foreign, HEAPS),
    };
    return play(deeds, sizeof deeds / sizeof deeds[0]);
}
