/* SPDX-License-Identifier: MIT */
/*
 * books: what the books of Moat in a target say, copied.
 *
 * Nothing in a copy is taken on trust. A region is shown as whole if its record was the same before
 * and after everything about it was read, and has the check word of what stands in it.
 */
#ifndef MOAT_INSPECT_BOOKS_H
#define MOAT_INSPECT_BOOKS_H

#include "layout.h"
#include "target.h"

/* How far what is shown of a region is to be believed. */
enum trust {
    WHOLE,
    TORN,    /* it was changed while it was read, each time */
    CUT,     /* the dump does not have what its pages are */
    CHANGED, /* its record is not as Moat wrote it */
};

/* Equal pages. */
struct run {
    uint64_t start;
    uint64_t end;
    uint8_t state; /* src/region/pages.h */
};

struct region {
    uint32_t handle;
    uint32_t generation;
    uint64_t base;
    uint64_t size;
    uint64_t span_start; /* with the guards that it has besides those of all */
    uint64_t span_end;
    uint64_t guard_start; /* the pages that trap beside it: from there to its base, */
    uint64_t guard_end;   /* and from its end to there */
    uint64_t space;
    uint64_t owner;
    uint32_t protection;
    uint32_t flags;
    uint32_t manager; /* its number; UINT32_MAX: none that there is */
    uint64_t born;    /* nanoseconds of the target's clock; 0: not known */
    uint32_t thread;
    uint64_t site;
    bool locked, closing;
    enum trust trust;
    uint64_t committed;
    uint64_t resident; /* UINT64_MAX: not known */
    struct run *runs;
    size_t run_count;
};

struct arena {
    uint64_t start, end;
    uint64_t usable_start, usable_end;
    uint64_t taken, resting; /* bytes */
};

/* Released address space that is not placed again yet. */
struct range {
    uint64_t start, end;
};

struct books {
    struct target target;
    struct layout layout;
    uint64_t records, births; /* where they begin in the target */
    struct region *regions;   /* by base */
    size_t region_count;
    struct arena *arenas; /* by address */
    size_t arena_count;
    struct range *resting; /* by address */
    size_t resting_count;
    uint64_t *managers; /* addresses by number; 0: none now */
    size_t manager_count;
    size_t dubious;  /* regions and arenas that are not whole */
    uint64_t passed; /* records of regions that came or went meanwhile */
};

/* Read all there is. Complaints go to standard error. */
enum ending books_read(struct books *books);
void books_free(struct books *books);

/* Add up to three ways in which a region is not whole, or what is special of it: "heap,locked". */
const char *region_notes(const struct region *region, char text[static 96]);
const char *protection_name(uint32_t protection);

/* What a page is: "committed" and its rights in *protection, "reserved", ... */
uint32_t run_protection(uint8_t state, uint32_t reserved_as);

/* records.c: the records, and their births. False: the target cannot be read any more. */
bool records_read(struct books *books);

/* pages.c: what the pages of a region are. */
void pages_read(struct books *books, struct region *region);

/* spaces.c: arenas, and what rests. */
void spaces_read(struct books *books);

/* Whether the record still is of that life. */
bool record_lives(const struct books *books, const struct region *region);

#endif
