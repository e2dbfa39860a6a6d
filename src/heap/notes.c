/* SPDX-License-Identifier: MIT */
/* notes: a table a span, and lists of names by hash. */
#include "heap/notes.h"

#include "lockfree/atomic.h"
#include "region/books.h"

#include <string.h>

struct name {
    _Atomic uint64_t link; /* of the books */
    uint64_t next;
    uint64_t hash;
    char text[232];
};

_Static_assert(sizeof(struct name) == 256, "the smallest piece of the books");

/* Entry 0 is the books' and entry slot + 1 a slot's. */
struct entry {
    _Atomic uint64_t file;
    _Atomic uint64_t line_slack; /* the line above 32 bits of slack */
};

static size_t table_size(const struct moat_span *span) {
    return ((size_t)moat_classes[span->class].slots + 1) * sizeof(struct entry);
}

static struct entry *table_of(const struct moat_span *span) {
    /* A(notes) */
    return (struct entry *)(uintptr_t)moat_load_acquire(&span->notes);
}

static struct entry *make_table(struct moat_span *span) {
    struct entry *table = table_of(span);
    uint64_t seen = 0;

    if (table)
        return table;
    table = moat_books_take(table_size(span));
    /* R(notes) A(notes) */
    if (!table || moat_cas_acq_rel(&span->notes, &seen, (uint64_t)(uintptr_t)table))
        return table;
    moat_books_give(table, table_size(span));
    return (struct entry *)(uintptr_t)seen;
}

/* FNV-1a, of 64 bits. */
static uint64_t hash_of(const char *text) {
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return hash;
}

static struct name *find_name(uint64_t first, uint64_t hash, const char *text) {
    struct name *name = (struct name *)(uintptr_t)first;
    while (name && (name->hash != hash || strcmp(name->text, text) != 0))
        name = (struct name *)(uintptr_t)name->next;
    return name;
}

/* The one copy of a name; NULL: no memory for it. */
static const char *intern(struct moat_names *names, const char *file) {
    size_t length = strlen(file);
    struct name *made;

    if (length >= sizeof(made->text))
        file += length - (sizeof(made->text) - 1);
    uint64_t hash = hash_of(file);
    _Atomic uint64_t *list = &names->lists[hash % MOAT_NAME_LISTS];
    /* A(name) */
    uint64_t first = moat_load_acquire(list);
    struct name *name = find_name(first, hash, file);
    if (name)
        return name->text;
    made = moat_books_take(sizeof(*made));
    if (!made)
        return NULL;
    made->hash = hash;
    memcpy(made->text, file, strlen(file) + 1);
    do {
        name = find_name(first, hash, file);
        if (name) {
            moat_books_give(made, sizeof(*made));
            return name->text;
        }
        made->next = first;
        /* R(name) A(name) */
    } while (!moat_cas_acq_rel(list, &first, (uint64_t)(uintptr_t)made));
    return made->text;
}

void moat_note_keep(struct moat_names *names, struct moat_span *span, uint32_t slot,
                    const struct moat_note *note) {
    struct entry *table = make_table(span);
    if (!table)
        return;
    const char *file = intern(names, note->file);
    /* relaxed: the block is shown to others by its owner, and the note with it. */
    moat_store_relaxed(&table[slot + 1].line_slack,
                       (uint64_t)(uint32_t)note->line << 32 | note->slack);
    /* R(name) */
    moat_store_release(&table[slot + 1].file, (uint64_t)(uintptr_t)file);
}

struct moat_note moat_note_read(const struct moat_span *span, uint32_t slot) {
    const struct entry *table = table_of(span);
    if (!table)
        return (struct moat_note){0};
    /* A(name) */
    uint64_t file = moat_load_acquire(&table[slot + 1].file);
    /* relaxed: as the store. */
    uint64_t line_slack = moat_load_relaxed(&table[slot + 1].line_slack);
    return (struct moat_note){
        .file = (const char *)(uintptr_t)file,
        .line = (int)(uint32_t)(line_slack >> 32),
        .slack = file ? (uint32_t)line_slack : 0,
    };
}

void moat_note_forget(struct moat_span *span, uint32_t slot) {
    struct entry *table = table_of(span);
    if (table)
        /* relaxed: as the store of a note. */
        moat_store_relaxed(&table[slot + 1].file, 0);
}

void moat_notes_give(struct moat_span *span) {
    struct entry *table = table_of(span);
    if (table)
        moat_books_give(table, table_size(span));
}

void moat_names_give(struct moat_names *names) {
    for (unsigned list = 0; list < MOAT_NAME_LISTS; list++) {
        /* A(name) */
        struct name *name = (struct name *)(uintptr_t)moat_load_acquire(&names->lists[list]);
        while (name) {
            struct name *next = (struct name *)(uintptr_t)name->next;
            moat_books_give(name, sizeof(*name));
            name = next;
        }
    }
}
