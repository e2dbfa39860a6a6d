/* SPDX-License-Identifier: MIT */
/*
 * annotate: telling a checker of memory whose what is. Nothing at all but in builds for one.
 *
 * MOAT_ANNOTATE_VALGRIND: memcheck is told of regions and blocks as of what malloc returns, and of
 * pages as they come and go, so that an access that is wrong is told with the block, and the stacks
 * of who allocated and who freed it. Such a build runs as usual where no valgrind runs it.
 *
 * MOAT_ANNOTATE_ASAN: blocks of heaps are poisoned where the caller has no business: behind the
 * size that was asked for, and once they are freed. Pages that trap are not, for AddressSanitizer
 * tells of a trap as it does of poison, and its shadow of them would be an eighth of all that is
 * reserved. LeakSanitizer is told to look for pointers in regions. The functions are weak: without
 * the sanitizer nothing is called.
 *
 * What is easy to get wrong: an end is to be told before the memory is anybody else's, and memory
 * that Moat itself looks into while it is nobody's has to be lifted first.
 */
#ifndef MOAT_OS_ANNOTATE_H
#define MOAT_OS_ANNOTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(MOAT_ANNOTATE_VALGRIND)

#include <valgrind/memcheck.h>

/* For what is to be worked out for an annotation alone. */
enum { MOAT_ANNOTATES = 1 };

/* Whether a checker looks on, which takes neither markers nor what else the kernel alone knows. */
static inline bool moat_annotated(void) {
    return RUNNING_ON_VALGRIND != 0;
}

/* Pages that were not committed are to be: zero, and the caller's. */
static inline void moat_annotate_open(uintptr_t start, size_t size) {
    (void)VALGRIND_MAKE_MEM_DEFINED(start, size);
}

/* Pages are the caller's no more, or not yet. */
static inline void moat_annotate_close(uintptr_t start, size_t size) {
    (void)VALGRIND_MAKE_MEM_NOACCESS(start, size);
}

/* A region is there; nobody knows its address yet. */
static inline void moat_annotate_region(uintptr_t base, size_t size, bool block) {
    if (block)
        VALGRIND_MALLOCLIKE_BLOCK(base, size, 0, 1);
}

/* A region is about to end. */
static inline void moat_annotate_region_end(uintptr_t base, size_t size, bool block) {
    if (block)
        VALGRIND_FREELIKE_BLOCK(base, 0);
    (void)VALGRIND_MAKE_MEM_NOACCESS(base, size);
}

/* A region is for blocks of a heap, of which there are none yet. */
static inline void moat_annotate_span(uintptr_t base, size_t size) {
    (void)VALGRIND_MAKE_MEM_NOACCESS(base, size);
}

/* A block has `size` bytes of the `room` that there are. What they hold is what was there: whoever
 * reads it before he writes it relies on chance. */
static inline void moat_annotate_block(const void *block, size_t size, size_t room) {
    (void)VALGRIND_MAKE_MEM_NOACCESS(block, room);
    VALGRIND_MALLOCLIKE_BLOCK(block, size, 0, 0);
}

/* A block is about to end. */
static inline void moat_annotate_block_end(const void *block, size_t room) {
    VALGRIND_FREELIKE_BLOCK(block, 0);
    (void)VALGRIND_MAKE_MEM_NOACCESS(block, room);
}

/* Who asks for the room of a block may use all of it. */
static inline void moat_annotate_block_room(const void *block, size_t room) {
    const size_t no_access = 3; /* an answer of memcheck's */
    const char *bytes = block;
    size_t size = room;
    char bits;

    while (size > 0 && VALGRIND_GET_VBITS(bytes + size - 1, &bits, 1) == no_access)
        size--;
    VALGRIND_RESIZEINPLACE_BLOCK(block, size, room, 0);
}

/* Moat looks into memory that is nobody's, or that the kernel wrote by a call unknown to tools. */
static inline void moat_annotate_lift(const void *start, size_t size) {
    (void)VALGRIND_MAKE_MEM_DEFINED(start, size);
}

#elif defined(MOAT_ANNOTATE_ASAN)

#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>

#pragma weak __asan_poison_memory_region
#pragma weak __asan_unpoison_memory_region
#pragma weak __lsan_register_root_region
#pragma weak __lsan_unregister_root_region

enum { MOAT_ANNOTATES = 1 };

/* LeakSanitizer reads all that a mapping lets it read, and a marker would end it. */
static inline bool moat_annotated(void) {
    return __asan_poison_memory_region != NULL;
}

static inline void moat_annotate_lift(const void *start, size_t size) {
    if (moat_annotated())
        __asan_unpoison_memory_region(start, size);
}

static inline void moat_annotate_hide(const void *start, size_t size) {
    if (moat_annotated())
        __asan_poison_memory_region(start, size);
}

static inline void moat_annotate_open(uintptr_t start, size_t size) {
    (void)start;
    (void)size;
}

static inline void moat_annotate_close(uintptr_t start, size_t size) {
    (void)start;
    (void)size;
}

static inline void moat_annotate_region(uintptr_t base, size_t size, bool block) {
    (void)block;
    if (__lsan_register_root_region)
        __lsan_register_root_region((void *)base, size);
}

static inline void moat_annotate_region_end(uintptr_t base, size_t size, bool block) {
    if (!block)
        moat_annotate_lift((void *)base, size);
    if (__lsan_unregister_root_region)
        __lsan_unregister_root_region((void *)base, size);
}

static inline void moat_annotate_span(uintptr_t base, size_t size) {
    moat_annotate_hide((void *)base, size);
}

static inline void moat_annotate_block(const void *block, size_t size, size_t room) {
    moat_annotate_lift(block, size);
    moat_annotate_hide((const char *)block + size, room - size);
}

static inline void moat_annotate_block_end(const void *block, size_t room) {
    moat_annotate_hide(block, room);
}

static inline void moat_annotate_block_room(const void *block, size_t room) {
    moat_annotate_lift(block, room);
}

#else

enum { MOAT_ANNOTATES = 0 };

static inline bool moat_annotated(void) {
    return false;
}

static inline void moat_annotate_open(uintptr_t start, size_t size) {
    (void)start;
    (void)size;
}

static inline void moat_annotate_close(uintptr_t start, size_t size) {
    (void)start;
    (void)size;
}

static inline void moat_annotate_region(uintptr_t base, size_t size, bool block) {
    (void)base;
    (void)size;
    (void)block;
}

static inline void moat_annotate_region_end(uintptr_t base, size_t size, bool block) {
    (void)base;
    (void)size;
    (void)block;
}

static inline void moat_annotate_span(uintptr_t base, size_t size) {
    (void)base;
    (void)size;
}

static inline void moat_annotate_block(const void *block, size_t size, size_t room) {
    (void)block;
    (void)size;
    (void)room;
}

static inline void moat_annotate_block_end(const void *block, size_t room) {
    (void)block;
    (void)room;
}

static inline void moat_annotate_block_room(const void *block, size_t room) {
    (void)block;
    (void)room;
}

static inline void moat_annotate_lift(const void *start, size_t size) {
    (void)start;
    (void)size;
}

#endif

#endif
