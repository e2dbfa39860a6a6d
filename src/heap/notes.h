/* SPDX-License-Identifier: MIT */
/*
 * notes: where blocks were allocated, for those whose caller said so.
 *
 * File names are copied, because the caller's may be gone when they are printed: a library was
 * unloaded, a buffer used again. A name is kept once a heap, a note is 16 bytes a slot, and a span
 * has notes from the first one on. All of it is in the books, and none of it is needed: where there
 * is no memory, blocks have no note.
 *
 * Edges
 *   notes   the table of a span is zero, then shown -> who finds it
 *   name    a name is written, then hung on its list -> who walks the list
 */
#ifndef MOAT_HEAP_NOTES_H
#define MOAT_HEAP_NOTES_H

#include "heap/span.h"

#define MOAT_NAME_LISTS 64u

struct moat_names {
    _Atomic uint64_t lists[MOAT_NAME_LISTS]; /* address of the newest name of each */
};

struct moat_note {
    const char *file; /* NULL: there is no note */
    int line;
    uint32_t slack; /* bytes of the slot that were not asked for */
};

/* Keep a note of a taken slot. */
void moat_note_keep(struct moat_names *names, struct moat_span *span, uint32_t slot,
                    const struct moat_note *note);

/* The note of a slot, of whoever had it last. */
struct moat_note moat_note_read(const struct moat_span *span, uint32_t slot);

/* A slot was taken by somebody who leaves no note. */
void moat_note_forget(struct moat_span *span, uint32_t slot);

/* Give the memory back; of a span, and of the names. */
void moat_notes_give(struct moat_span *span);
void moat_names_give(struct moat_names *names);

#endif
