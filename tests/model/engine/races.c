/* SPDX-License-Identifier: MIT */
/*
 * races: is each plain access ordered with those of other threads to the same memory?
 *
 * Of each four bytes we keep, for each thread, after how many of its events it last read and wrote
 * them, plainly and atomically. The later of two accesses that race finds the earlier one there,
 * or a later one of the same thread, which races as well; whichever way the threads take turns.
 *
 * Easy to get wrong: bytes of one four that a thread touches at different times are not told apart.
 */
#include "engine.h"

#include <stdlib.h>

#define CELLS_LOG2 16
#define CELLS      ((size_t)1 << CELLS_LOG2)
#define CELL_BYTES 4u

struct mark {
    uint16_t time; /* how many events of the thread came before, and one more; 0: never */
    uint8_t bytes;
};

struct cell {
    uintptr_t at;
    unsigned long run;
    struct mark mark[THREADS][ATOMIC_WRITE + 1];
};

void races_start(void) {
    engine->cell = calloc(CELLS, sizeof(struct cell));
    if (!engine->cell)
        engine_refuse("out of memory");
}

static struct cell *cell_of(uintptr_t at) {
    size_t start = (at / CELL_BYTES * 0x9e3779b97f4a7c15u) >> (64 - CELLS_LOG2);

    for (size_t i = 0; i < CELLS; i++) {
        struct cell *cell = &engine->cell[(start + i) % CELLS];

        if (cell->run == engine->runs && cell->at == at)
            return cell;
        if (cell->run != engine->runs) {
            *cell = (struct cell){.at = at, .run = engine->runs};
            return cell;
        }
    }
    engine_refuse("an execution touches too much memory");
}

/* Plain accesses race with writes and with atomic accesses, one of them being a write. */
static bool conflict(enum access a, enum access b) {
    bool write = a == PLAIN_WRITE || a == ATOMIC_WRITE || b == PLAIN_WRITE || b == ATOMIC_WRITE;

    return write && (a <= PLAIN_WRITE || b <= PLAIN_WRITE);
}

static void check_cell(enum access access, uintptr_t at, uint8_t bytes, const struct clock *clock,
                       const void *caller) {
    struct cell *cell = cell_of(at);
    int self = engine->running;
    struct mark *own = &cell->mark[self][access];
    char where[80], word[80];

    for (int other = 0; other < THREADS; other++) {
        for (enum access kind = PLAIN_READ; kind <= ATOMIC_WRITE && other != self; kind++) {
            const struct mark *mark = &cell->mark[other][kind];

            if (mark->time > clock->count[other] && mark->bytes & bytes && conflict(access, kind))
                engine_fail("a data race: thread %d %s %s in %s, and thread %d %s it", self,
                            access % 2 ? "writes" : "reads",
                            engine_symbol((void *)at, word, sizeof(word)),
                            engine_symbol(caller, where, sizeof(where)), other,
                            kind % 2 ? "writes" : "reads");
        }
    }
    own->time = (uint16_t)(clock->count[self] + (access <= PLAIN_WRITE));
    own->bytes |= bytes;
}

void races_check(enum access access, uintptr_t at, size_t size, const void *caller) {
    uintptr_t end = at + size;

    if (engine->running == NONE || engine->prelude)
        return;
    engine->plain_accesses += access <= PLAIN_WRITE;
    while (at < end) {
        uintptr_t cell = at & ~(uintptr_t)(CELL_BYTES - 1);
        uintptr_t next = cell + CELL_BYTES < end ? cell + CELL_BYTES : end;
        uint8_t bytes = (uint8_t)(((1u << (next - at)) - 1) << (at - cell));

        check_cell(access, cell, bytes, threads_clock(), caller);
        at = next;
    }
}
