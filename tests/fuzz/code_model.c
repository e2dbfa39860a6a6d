/* SPDX-License-Identifier: MIT */
/*
 * code_model: any sequence of calls on a code heap does what a model, a list of blocks, says: who
 * may read and write a view, what both of them hold, which address lies in which block, what traps
 * once it is freed, and what is counted and reported.
 */
#include "support/input.h"
#include "support/plant.h"
#include "support/probe.h"
#include "support/terms.h"
#include "support/verify.h"

#include <moat/code.h>

#include <string.h>

enum { BLOCKS_MAX = 24, FREED_MAX = 16, OPERATIONS_MAX = 256, DENIED_IN_A_MILLION = 60000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const plant_names[] = {"open-publishes", "seal-keeps-write", "inside-is-behind", NULL};

struct block {
    struct moat_code_block at;
    uint8_t content; /* of each page; 0: it was not written */
    bool published;
    bool sealed;
};

static struct {
    struct moat_manager *manager;
    struct moat_code_heap *heap;
    size_t size;
    struct block blocks[BLOCKS_MAX];
    size_t count;
    struct moat_code_block freed[FREED_MAX]; /* some of them are live again */
    size_t frees;
    uint64_t refused;
    uint64_t denied;
    struct terms_reports reports;
    struct moat_options options;
} world;

static void expect(enum moat_status is, enum moat_status should) {
    if (is != should)
        verify_fail("%s instead of %s: %s", moat_status_describe(is)->name,
                    moat_status_describe(should)->name, moat_last_error_text());
}

static struct block *find(const void *code) {
    for (size_t i = 0; i < world.count; i++)
        if (world.blocks[i].at.execute == code)
            return &world.blocks[i];
    return NULL;
}

static bool in(const void *start, size_t size, uintptr_t address) {
    return address - (uintptr_t)start < size + plant_is("inside-is-behind");
}

/* The block that an address lies in, in either view. */
static const struct block *around(uintptr_t address) {
    for (size_t i = 0; i < world.count; i++) {
        const struct moat_code_block *at = &world.blocks[i].at;
        if (in(at->execute, at->size, address) || in(at->write, at->size, address))
            return &world.blocks[i];
    }
    return NULL;
}

/* --- What is compared --- */

/* The kernel refuses to read what can only be executed where it can tell. */
static void check_view(const void *start, size_t size, bool readable, bool writable) {
    uintptr_t wrong;

    if (!probe_expect((uintptr_t)start, size / MODEL_PAGE, readable,
                      writable ? PROBE_ALLOWED : PROBE_REFUSED, &wrong))
        verify_fail("page %#lx of the view at %p: should be%s readable and%s writable",
                    (unsigned long)wrong, start, readable ? "" : " not", writable ? "" : " not");
}

static void check_content(const struct block *block, const void *view) {
    const unsigned char *bytes = view;

    for (size_t page = 0; page < block->at.size; page += MODEL_PAGE)
        for (size_t i = page; i < page + MODEL_PAGE; i += i % MODEL_PAGE < 64 ? 1 : 509)
            if (bytes[i] != block->content)
                verify_fail("byte %zu of the block at %p is %#x in the view at %p, not %#x", i,
                            block->at.execute, bytes[i], view, block->content);
}

static void check_block(const struct block *block) {
    check_view(block->at.execute, block->at.size, block->published, false);
    check_view(block->at.write, block->at.size, !block->sealed, !block->sealed);
    if (block->published)
        check_content(block, block->at.execute);
    if (!block->sealed)
        check_content(block, block->at.write);
}

/* Pages that were freed trap in both views, unless a block is there again. */
static void check_freed(const struct moat_code_block *freed) {
    for (size_t i = 0; i < freed->size; i += MODEL_PAGE) {
        uintptr_t execute = (uintptr_t)freed->execute + i, write = (uintptr_t)freed->write + i;
        if (!around(execute) && (probe_readable(execute, 1) || probe_readable(write, 1)))
            verify_fail("a page of a block that was freed can be read at %#lx or %#lx",
                        (unsigned long)execute, (unsigned long)write);
    }
}

static void check(void) {
    uint64_t committed = 0;
    struct moat_stats stats;

    for (size_t i = 0; i < world.count; i++) {
        check_block(&world.blocks[i]);
        committed += world.blocks[i].at.size;
    }
    for (size_t i = 0; i < FREED_MAX && i < world.frees; i++)
        check_freed(&world.freed[i]);
    expect(moat_stats_read(world.manager, &stats), MOAT_OK);
    if (stats.bytes_committed != committed || stats.refused != world.refused ||
        stats.denied != world.denied)
        verify_fail("%zu bytes are committed, not %zu; %zu calls were refused, not %zu",
                    (size_t)stats.bytes_committed, (size_t)committed, (size_t)stats.refused,
                    (size_t)world.refused);
    if (world.options.quota_bytes && committed > world.options.quota_bytes)
        verify_fail("%zu bytes are committed, more than the quota", (size_t)committed);
}

/* --- Calls --- */

static bool was_denied(void) {
    struct moat_stats stats;

    expect(moat_stats_read(world.manager, &stats), MOAT_OK);
    bool denied = stats.denied == world.denied + 1;
    world.denied = stats.denied;
    return denied;
}

static void allocate(void) {
    size_t size = input_size();
    size_t whole = model_round_up(size, MODEL_PAGE), live = 0;
    struct moat_code_block at = {&at, &at, 1};

    if (world.count == BLOCKS_MAX)
        return;
    verify_note("alloc %#zx", size);
    enum moat_status is = moat_code_alloc(world.heap, size, &at);
    if (is && (at.execute || at.write || at.size))
        verify_fail("a failed alloc left %p", at.execute);
    if (was_denied()) {
        expect(is, MOAT_NO_MEMORY);
        return;
    }
    for (size_t i = 0; i < world.count; i++)
        live += world.blocks[i].at.size;
    if (size == 0)
        expect(is, MOAT_INVALID_ARGUMENT);
    else if (size > world.size || is == MOAT_NO_MEMORY)
        expect(is, world.count || size > world.size ? MOAT_NO_MEMORY : MOAT_OK);
    else if (world.options.quota_bytes && live + whole > world.options.quota_bytes)
        expect(is, MOAT_COMMIT_LIMIT);
    else
        expect(is, MOAT_OK);
    if (is)
        return;
    if (at.size != whole)
        verify_fail("%zu bytes for %zu", at.size, size);
    for (size_t i = 0; i < whole; i += MODEL_PAGE)
        if (around((uintptr_t)at.execute + i) || around((uintptr_t)at.write + i))
            verify_fail("the block at %p lies in another one", at.execute);
    world.blocks[world.count++] = (struct block){.at = at};
}

/* Where a call may aim: at blocks, live or not, into them, or anywhere. */
static void *take_address(void) {
    unsigned choice = input_take(1);

    if (choice < 8)
        return (void *)input_wild_address();
    if (choice < 32 && world.frees > 0)
        return world.freed[choice % (world.frees < FREED_MAX ? world.frees : FREED_MAX)].execute;
    if (world.count == 0)
        return NULL;
    const struct moat_code_block *at = &world.blocks[choice % world.count].at;
    if (choice < 48)
        return at->write;
    if (choice < 64)
        return (char *)at->execute + input_take(2) % at->size;
    return at->execute;
}

static void free_one(void) {
    void *code = take_address();
    struct block *block = find(code);

    verify_note("free %p", code);
    expect(moat_code_free(world.heap, code), block || !code ? MOAT_OK : MOAT_NOT_OURS);
    world.refused += !block && code;
    if (!block)
        return;
    world.freed[world.frees++ % FREED_MAX] = block->at;
    *block = world.blocks[--world.count];
}

static void change(unsigned choice) {
    void *code = take_address();
    struct block *block = find(code);
    struct moat_code_block at = {0};

    verify_note("%s %p", choice == 0 ? "publish" : choice == 1 ? "seal" : "open", code);
    if (choice == 0)
        expect(moat_code_publish(world.heap, code), block ? MOAT_OK : MOAT_NOT_OURS);
    else if (choice == 1)
        expect(moat_code_seal(world.heap, code), block ? MOAT_OK : MOAT_NOT_OURS);
    else
        expect(moat_code_open(world.heap, code, &at), block ? MOAT_OK : MOAT_NOT_OURS);
    if (!block)
        return;
    block->published |= choice == 0 || (choice == 2 && plant_is("open-publishes"));
    block->sealed =
        (choice == 1 && !plant_is("seal-keeps-write")) || (choice == 0 && block->sealed);
    if (choice == 2 && memcmp(&at, &block->at, sizeof(at)) != 0)
        verify_fail("opened %p at %p", at.execute, at.write);
}

static void fill(void) {
    struct block *block = find(take_address());

    if (!block || block->sealed)
        return;
    block->content = (uint8_t)input_take(1);
    verify_note("fill %p with %u", block->at.execute, block->content);
    memset(block->at.write, block->content, block->at.size);
}

static void ask(void) {
    void *address = take_address();
    const struct block *block = around((uintptr_t)address);
    struct moat_code_block at = {&at, &at, 1}, should = {0};

    verify_note("find %p", address);
    expect(moat_code_find(world.heap, address, &at), block ? MOAT_OK : MOAT_NOT_OURS);
    if (block)
        should = block->at;
    if (memcmp(&at, &should, sizeof(at)) != 0)
        verify_fail("%p was found to be in %p", address, at.execute);
}

/* The calls of moat.h do not take the memory of code heaps. */
static void meddle(void) {
    unsigned choice = input_take(1) % 4;
    char *address = take_address();
    uint32_t old;

    if (!around((uintptr_t)address))
        return;
    verify_note("meddle %u with %p", choice, (void *)address);
    world.refused += choice < 2;
    if (choice == 0)
        expect(moat_release(world.manager, address), MOAT_NOT_OURS);
    else if (choice == 1)
        expect(moat_decommit(world.manager, address, 1), MOAT_NOT_OURS);
    else if (choice == 2)
        expect(moat_commit(world.manager, address, 1, MOAT_PAGE_READWRITE, NULL),
               MOAT_INVALID_ADDRESS);
    else
        expect(moat_protect(world.manager, address, 1, MOAT_PAGE_READWRITE, &old),
               MOAT_INVALID_ADDRESS);
}

/* --- An input --- */

static void begin(void) {
    unsigned choice = input_take(1);
    struct moat_options *options = &world.options;

    memset(&world, 0, sizeof(world));
    verify_forget();
    moat_options_init(options);
    terms_draw(options);
    terms_listen(options, &world.reports);
    options->trap = choice & 1 ? MOAT_TRAP_PROTECT : MOAT_TRAP_AUTO;
    options->deny_heap = choice & 2 ? DENIED_IN_A_MILLION : 0;
    options->deny_seed = choice;
    options->quota_bytes = choice & 4 ? (size_t)64 * MODEL_PAGE : 0;
    terms_say(0, options);
    expect(moat_manager_create(options, &world.manager), MOAT_OK);
    world.size = ((choice >> 3) + 1) * (size_t)MODEL_GRANULE;
    expect(moat_code_heap_create(world.manager, world.size, NULL, &world.heap), MOAT_OK);
}

static void operate(void) {
    unsigned choice = input_take(1);

    if (choice < 80)
        allocate();
    else if (choice < 120)
        free_one();
    else if (choice < 180)
        change(choice % 3);
    else if (choice < 220)
        fill();
    else if (choice < 240)
        ask();
    else
        meddle();
}

static void end(void) {
    struct moat_stats stats;

    moat_code_heap_destroy(world.heap);
    expect(moat_stats_read(world.manager, &stats), MOAT_OK);
    if (stats.regions_live || stats.bytes_committed || stats.bytes_reserved)
        verify_fail("a heap that was destroyed left %zu regions", (size_t)stats.regions_live);
    for (size_t i = 0; i < world.count; i++)
        check_view(world.blocks[i].at.execute, world.blocks[i].at.size, false, false);
    moat_manager_destroy(world.manager);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input_begin(data, size);
    begin();
    for (unsigned count = 0; input_left() > 0 && count < OPERATIONS_MAX; count++) {
        operate();
        check();
    }
    end();
    return 0;
}
