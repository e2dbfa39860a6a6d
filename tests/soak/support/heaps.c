/* SPDX-License-Identifier: MIT */
/* heaps: blocks, and code that is executed. */
#include "others.h"
#include "refuse.h"

#include <string.h>

enum { CODE_SIZE = 3 * PAGE };

static void mark(const struct block *block) {
    if (block->size >= 2 * sizeof block->token) {
        memcpy(block->start, &block->token, sizeof block->token);
        memcpy(block->start + block->size - sizeof block->token, &block->token,
               sizeof block->token);
    }
}

static void check_block(const struct block *block) {
    uint32_t first, last;

    if (block->size < 2 * sizeof first)
        return;
    memcpy(&first, block->start, sizeof first);
    memcpy(&last, block->start + block->size - sizeof last, sizeof last);
    EXPECT(ORACLE_CONTENT, first == block->token && last == block->token,
           "a block of %zu bytes holds %#x and %#x, not %#x", block->size, first, last,
           block->token);
}

static void free_block(struct thread *self, struct block *block, bool insist) {
    enum moat_status status;

    check_block(block);
    do {
        status = CALL(self, moat_heap_free(world.heap[block->which], block->start));
        soak_answered(ACT_HEAP_FREE, status, ONLY_OK, block->which);
    } while (status && insist);
    if (!status)
        block->start = NULL;
    else
        mark(block); /* live still, though its content may be gone */
}

void heap_act(struct thread *self) {
    struct block *block = &self->block[soak_below(&self->random, BLOCKS)];
    uint32_t most = soak_chance(&self->random, 16) ? 200000 : 3000;
    void *start;

    if (block->start) {
        free_block(self, block, false);
        return;
    }
    unsigned which = soak_below(&self->random, MANAGERS);
    size_t size = soak_below(&self->random, most), room;
    enum moat_status status = CALL(self, moat_heap_alloc(world.heap[which], size, &start));

    soak_answered(ACT_HEAP_ALLOC, status, ONLY_OK, which);
    if (status)
        return;
    *block = (struct block){start, size, which, ++self->next_token};
    mark(block);
    EXPECT(ORACLE_QUERY,
           moat_heap_block_size(world.heap[which], start, &room) == MOAT_OK && room >= size,
           "a block of %zu bytes has room for %zu", size, room);
}

void heap_check(const struct thread *self) {
    for (unsigned i = 0; i < BLOCKS; i++)
        if (self->block[i].start)
            check_block(&self->block[i]);
}

void heap_end(struct thread *self) {
    for (unsigned i = 0; i < BLOCKS; i++)
        if (self->block[i].start)
            free_block(self, &self->block[i], true);
}

/* A function that returns the token, where we know how to write one. */
static void write_code(const struct code *code) {
#ifdef __x86_64__
    unsigned char bytes[] = {0xb8, 0, 0, 0, 0, 0xc3}; /* mov $token, %eax; ret */

    memcpy(bytes + 1, &code->token, sizeof code->token);
    memcpy(code->block.write, bytes, sizeof bytes);
#else
    memcpy(code->block.write, &code->token, sizeof code->token);
#endif
}

static void run_code(const struct code *code) {
#ifdef __x86_64__
    uint32_t (*function)(void);

    memcpy(&function, &code->block.execute, sizeof function);
    EXPECT(ORACLE_CONTENT, function() == code->token, "code does what it should not");
#else
    EXPECT(ORACLE_CONTENT, memcmp(code->block.execute, &code->token, sizeof code->token) == 0,
           "code is not what was written");
#endif
}

static bool code_done(enum moat_status status, unsigned which) {
    soak_answered(ACT_CODE, status, ONLY_OK, which);
    return status == MOAT_OK;
}

/* Something half-done by a refusal can only be freed. */
static void free_code(struct thread *self, struct code *code) {
    while (!code_done(CALL(self, moat_code_free(world.code[code->which], code->block.execute)),
                      code->which))
        continue;
    code->block.execute = NULL;
}

static void begin_code(struct thread *self, struct code *code) {
    unsigned which = soak_below(&self->random, MANAGERS);

    if (!world.code[which] ||
        !code_done(CALL(self, moat_code_alloc(world.code[which], CODE_SIZE, &code->block)), which))
        return;
    code->which = which;
    code->token = ++self->next_token;
    code->published = code->sealed = false;
    write_code(code);
}

void code_act(struct thread *self) {
    struct code *code = &self->code[soak_below(&self->random, CODES)];
    unsigned what = soak_below(&self->random, 4);

    if (!code->block.execute) {
        begin_code(self, code);
        return;
    }
    struct moat_code_heap *heap = world.code[code->which];
    void *execute = code->block.execute;

    if (!code->published || (what == 0 && !code->sealed)) {
        if (!code->sealed)
            write_code(code);
        code->published = code_done(CALL(self, moat_code_publish(heap, execute)), code->which);
    } else if (what == 1 && !code->sealed) {
        if (code_done(CALL(self, moat_code_seal(heap, execute)), code->which))
            code->sealed = true;
        else
            free_code(self, code);
    } else if (what == 1) {
        code->sealed =
            !code_done(CALL(self, moat_code_open(heap, execute, &code->block)), code->which);
    } else if (what == 2) {
        free_code(self, code);
    } else {
        run_code(code);
    }
}

void code_end(struct thread *self) {
    for (unsigned i = 0; i < CODES; i++)
        if (self->code[i].block.execute)
            free_code(self, &self->code[i]);
}
