/* SPDX-License-Identifier: MIT */
/*
 * code_race: threads allocate, write, publish, call and free code in one heap, look blocks up, and
 * now and then all free the same blocks at once. A block that two threads had, or that was freed
 * under one of them, would call the wrong function, or trap.
 */
#include "support/core.h"

#include <moat/code.h>

#include <stdatomic.h>
#include <string.h>

enum { THREADS = 4, RACED = 32, HEAP = 1024 * PAGE };

static struct moat_manager *manager;
static struct moat_code_heap *heap;
static void *raced[RACED];
static atomic_uint won;
static unsigned rounds;

#if defined(__x86_64__)
/* mov eax, imm32; ret */
static void write_function(unsigned char *code, uint32_t answer) {
    code[0] = 0xB8;
    memcpy(code + 1, &answer, sizeof answer);
    code[5] = 0xC3;
}

static void check_function(void *code, uint32_t answer) {
    uint32_t (*function)(void);
    memcpy(&function, &code, sizeof function);
    CHECK(function() == answer, "the code of another block");
}
#else
static void write_function(unsigned char *code, uint32_t answer) {
    memcpy(code, &answer, sizeof answer);
}

static void check_function(void *code, uint32_t answer) {
    CHECK(memcmp(code, &answer, sizeof answer) == 0, "the content of another block");
}
#endif

static struct moat_code_block make(size_t size, uint32_t answer) {
    struct moat_code_block block;
    enum moat_status status = moat_code_alloc(heap, size, &block);
    CHECK(status == MOAT_OK, "alloc: %s", moat_last_error_text());
    for (size_t i = 0; i < block.size; i += 512)
        CHECK(((unsigned char *)block.write)[i] == 0, "not zero at %zu", i);
    write_function(block.write, answer);
    write_function((unsigned char *)block.write + block.size - 16, answer);
    CHECK(moat_code_publish(heap, block.execute) == MOAT_OK, "publish");
    return block;
}

static void own_life(uint64_t *state) {
    struct moat_code_block block, found;
    uint32_t answer = (uint32_t)core_random(state);

    block = make(core_below(state, 5 * PAGE) + 1, answer);
    check_function(block.execute, answer);
    if (core_below(state, 3) == 0)
        CHECK(moat_code_seal(heap, block.execute) == MOAT_OK, "%s", moat_last_error_text());
    CHECK(moat_code_find(heap, (char *)block.execute + block.size - 1, &found) == MOAT_OK &&
              found.execute == block.execute && found.size == block.size,
          "find");
    check_function((char *)block.execute + block.size - 16, answer);
    CHECK(moat_code_free(heap, block.execute) == MOAT_OK, "%s", moat_last_error_text());
}

/* All threads free the same blocks, which nobody can have again meanwhile. */
static void race(unsigned number) {
    if (number == 0)
        for (unsigned i = 0; i < RACED; i++)
            raced[i] = make((i % 4 + 1) * PAGE, i).execute;
    core_meet();
    for (unsigned i = 0; i < RACED; i++) {
        enum moat_status status = moat_code_free(heap, raced[i]);
        CHECK(status == MOAT_OK || status == MOAT_NOT_OURS, "%s", moat_last_error_text());
        if (status == MOAT_OK)
            atomic_fetch_add(&won, 1);
    }
    core_meet();
    if (number == 0)
        CHECK(atomic_exchange(&won, 0) == RACED, "not one winner each");
}

static void run(unsigned number) {
    uint64_t state = number + 1;
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < 50; i++)
            own_life(&state);
        core_meet();
        race(number);
    }
}

int main(int argc, char **argv) {
    struct moat_options options;
    struct moat_stats stats;
    struct moat_code_block all;

    rounds = core_scale(argc, argv, 20);
    moat_options_init(&options);
    options.execute = MOAT_EXECUTE_WX;
    CHECK(moat_manager_create(&options, &manager) == MOAT_OK, "%s", moat_last_error_text());
    CHECK(moat_code_heap_create(manager, HEAP, NULL, &heap) == MOAT_OK, "%s",
          moat_last_error_text());
    core_run(THREADS, run);
    CHECK(moat_stats_read(manager, &stats) == MOAT_OK && stats.bytes_committed == 0,
          "%lu bytes are left", (unsigned long)stats.bytes_committed);
    CHECK(moat_code_alloc(heap, HEAP, &all) == MOAT_OK, "not all of it is free again");
    moat_code_heap_destroy(heap);
    moat_manager_destroy(manager);
    return 0;
}
