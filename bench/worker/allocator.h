/* SPDX-License-Identifier: MIT */
/*
 * allocator: what a worker measures, behind four functions that all contenders share.
 *
 * "malloc" is whatever malloc this process has: a rival is preloaded, and allocator_origin tells
 * where malloc then came from, because a library that could not be preloaded is only warned about.
 */
#ifndef MOAT_WORKER_ALLOCATOR_H
#define MOAT_WORKER_ALLOCATOR_H

#include <stdbool.h>
#include <stddef.h>

struct allocator {
    const char *name;

    /* Memory is zero and readable and writable, all of it: what a dirty word is held against. */
    bool promises_zero;

    /* Prepare, with Moat's options; false after a complaint on stderr. */
    bool (*open)(const char *options);

    /* `size` bytes, a multiple of 64 KiB; NULL when refused. Any thread, as give. */
    void *(*take)(size_t size);

    /* False when refused. malloc's kin cannot tell. */
    bool (*give)(void *memory, size_t size);
};

/* The allocator of a name (moat, mmap, guarded mmap, malloc), or NULL. */
const struct allocator *allocator_find(const char *name);

/* The library that malloc came from; options in force for Moat. Until the next call. */
const char *allocator_origin(void);
const char *allocator_options(void);

#endif
