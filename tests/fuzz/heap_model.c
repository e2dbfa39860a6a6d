/* SPDX-License-Identifier: MIT */
/*
 * heap_model: any sequence of calls on two heaps of one manager does what the model of a set of
 * blocks says: which frees are refused, what each block holds, what a walk shows, and that all that
 * the heaps hold is counted and charged in the manager; that misuse is reported as often as it
 * happens, and each write to a freed block exactly once, where blocks are poisoned.
 *
 * An input is a list of calls. Frees aim at live blocks, at blocks that were freed before, at
 * blocks of the other heap, into blocks and beside them, and at addresses that are nobody's; and
 * the calls of moat.h aim at the memory of the heaps.
 */
#include "support/input.h"
#include "support/plant.h"
#include "support/probe.h"
#include "support/terms.h"
#include "support/verify.h"

#include <moat/heap.h>
#include <moat/lock.h>

#include <stdio.h>
#include <string.h>

enum { HEAPS = 2, BLOCKS_MAX = 160, FREED_MAX = 64, OPERATIONS_MAX = 512 };
enum { FULL_CHECK_EVERY = 16, STRIDE = 509, DENIED_IN_A_MILLION = 60000 };

/* Larger blocks have regions of their own, with at most so much behind them. */
enum { SMALL_MAX = 32768, SLACK_MAX = 16 };

#define KIB ((size_t)1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const plant_names[] = {"foreign-free", "blocks-uncounted", "any-poison", NULL};

struct block {
    unsigned char *address;
    size_t size; /* as asked for */
    unsigned heap;
    uint8_t content;
    int line; /* 0: has no file */
    bool shown;
};

static struct {
    struct moat_manager *manager;
    struct moat_heap *heaps[HEAPS];
    struct block blocks[BLOCKS_MAX];
    size_t count;
    void *freed[FREED_MAX]; /* some of them are live again */
    size_t freed_size[FREED_MAX];
    size_t freed_count;
    size_t frees;
    uint64_t quota;
    uint64_t refused;
    uint64_t misused; /* calls that are to be reported */
    uint64_t damaged; /* blocks that were written after they were freed */
    uint64_t denied;
    struct terms_reports reports;
    struct moat_options options;
} world;

static const char file_name[] = "heap_model.c";

static void expect(enum moat_status is, enum moat_status should) {
    if (is != should)
        verify_fail("%s instead of %s: %s", moat_status_describe(is)->name,
                    moat_status_describe(should)->name, moat_last_error_text());
}

static struct block *find(const void *address) {
    for (size_t i = 0; i < world.count; i++)
        if (world.blocks[i].address == address)
            return &world.blocks[i];
    return NULL;
}

/* The bytes of a block are told from those of its neighbours. */
static void fill(const struct block *block) {
    memset(block->address, block->content, block->size);
}

/* Bytes that are looked at: all at the ends, where neighbours are, and some between. */
static size_t next_byte(const struct block *block, size_t byte) {
    bool near_end = byte < 64 || byte + 64 + STRIDE > block->size;
    return byte + (near_end ? 1 : STRIDE);
}

static void check_content(const struct block *block) {
    for (size_t i = 0; i < block->size; i = next_byte(block, i))
        if (block->address[i] != block->content)
            verify_fail("byte %zu of the block at %p, %zu bytes: %#x, not %#x", i,
                        (void *)block->address, block->size, block->address[i], block->content);
}

static bool overlaps(const unsigned char *address, size_t size, const struct block *block) {
    return address < block->address + block->size && block->address < address + size;
}

/* --- Calls --- */

static size_t take_size(void) {
    unsigned choice = input_take(1);

    if (choice < 2)
        return SIZE_MAX - input_take(3);
    if (choice < 8)
        return input_take(1) & 1;
    if (choice < 150)
        return input_take(1) * 4 + 1;
    if (choice < 225)
        return input_take(2) % (SMALL_MAX + 100);
    return input_take(3) % (600 * KIB);
}

static void note_new(void *address, size_t size, unsigned heap, int line) {
    unsigned char *bytes = address;
    size_t room = 0;

    if ((uintptr_t)address % 16)
        verify_fail("a block at %p", address);
    for (size_t i = 0; i < world.count; i++)
        if (overlaps(bytes, size ? size : 1, &world.blocks[i]))
            verify_fail("the block at %p lies in that at %p", address,
                        (void *)world.blocks[i].address);
    expect(moat_heap_block_size(world.heaps[heap], address, &room), MOAT_OK);
    if (room < size)
        verify_fail("%zu bytes have room for %zu", size, room);
    struct block *block = &world.blocks[world.count++];
    *block = (struct block){bytes, size, heap, (uint8_t)(world.count * 7 + 1), line, false};
    fill(block);
    uintptr_t behind = ((uintptr_t)address + size + SLACK_MAX - 1) / 16 * 16;
    if (size > SMALL_MAX && (behind % MODEL_PAGE || probe_readable(behind, 1)))
        verify_fail("what lies behind the block at %p does not trap", address);
}

/* Whether the last call was, which is counted. */
static bool was_denied(void) {
    struct moat_stats stats;

    expect(moat_stats_read(world.manager, &stats), MOAT_OK);
    bool denied = stats.denied == world.denied + 1;
    world.denied = stats.denied;
    return denied;
}

static void allocate(unsigned heap) {
    unsigned choice = input_take(1);
    size_t size = take_size();
    int line = choice & 1 ? (int)(choice + 1) : 0;
    void *address = &world;

    if (world.count == BLOCKS_MAX)
        return;
    verify_note("%u alloc %#zx line %d", heap, size, line);
    enum moat_status is =
        line ? moat_heap_alloc_debug(world.heaps[heap], size, file_name, line, &address)
             : moat_heap_alloc(world.heaps[heap], size, &address);
    if (was_denied()) {
        expect(is, MOAT_NO_MEMORY);
        expect(world.options.deny_heap ? MOAT_OK : MOAT_CORRUPT, MOAT_OK);
    } else if (size > MODEL_USER_END)
        expect(is, MOAT_NO_MEMORY);
    else if (!world.quota || is != MOAT_COMMIT_LIMIT)
        expect(is, MOAT_OK);
    if (is && address)
        verify_fail("a failed alloc left %p", address);
    if (!is)
        note_new(address, size, heap, line);
}

/* Where a free may aim: at blocks, live or not, into them, behind them, or anywhere. */
static void *take_address(void) {
    unsigned choice = input_take(1);

    if (choice < 8)
        return (void *)input_wild_address();
    if (choice < 60 && world.freed_count > 0)
        return world.freed[choice % world.freed_count];
    if (world.count == 0)
        return NULL;
    const struct block *block = &world.blocks[input_take(1) % world.count];
    if (choice < 80)
        return block->address + 1 + input_take(2) % (block->size + 16);
    if (choice < 90)
        return (void *)((uintptr_t)block->address / MODEL_PAGE * MODEL_PAGE);
    return block->address;
}

static bool is_poison(const unsigned char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != world.options.poison)
            return false;
    return true;
}

static void free_one(unsigned heap) {
    void *address = take_address();
    struct block *block = find(address);
    bool ours = block && (block->heap == heap || plant_is("foreign-free"));

    verify_note("%u free %p", heap, address);
    if (ours)
        check_content(block);
    expect(moat_heap_free(world.heaps[heap], address), ours || !address ? MOAT_OK : MOAT_NOT_OURS);
    world.refused += !ours && address;
    world.misused += !ours && address;
    if (!ours)
        return;
    if (block->size > SMALL_MAX && probe_readable((uintptr_t)address, 1))
        verify_fail("a large block that was freed can be read at %p", address);
    size_t slot = world.frees++ % FREED_MAX;
    world.freed[slot] = address;
    world.freed_size[slot] = block->size;
    if (world.freed_count < FREED_MAX)
        world.freed_count++;
    bool rests = block->size <= SMALL_MAX && world.options.heap_poison == MOAT_HEAP_POISON_ON &&
                 probe_readable((uintptr_t)address, 1);
    if (rests && (plant_is("any-poison") || !is_poison(address, block->size)))
        verify_fail("the block of %zu bytes that was freed at %p is not poisoned", block->size,
                    address);
    *block = world.blocks[--world.count];
}

/* A stale write: to a block that is at rest, and was not written yet. */
static void damage(void) {
    unsigned choice = input_take(1);

    /* Once: two addresses may be in one larger block by now, which is told of once. */
    if (!world.freed_count || !world.options.heap_poison || world.damaged)
        return;
    unsigned char *bytes = world.freed[choice % world.freed_count];
    size_t size = world.freed_size[choice % world.freed_count];
    size_t pages = ((uintptr_t)bytes % MODEL_PAGE + size + MODEL_PAGE - 1) / MODEL_PAGE;
    if (size == 0 || size > SMALL_MAX ||
        probe_readable((uintptr_t)bytes / MODEL_PAGE * MODEL_PAGE, pages) != pages ||
        !is_poison(bytes, size))
        return;
    for (size_t i = 0; i < world.count; i++)
        if (overlaps(bytes, size, &world.blocks[i]))
            return;
    size_t at = input_take(2) % size;
    verify_note("damage %p at %zu", (void *)bytes, at);
    bytes[at] ^= (uint8_t)(1u << choice % 8);
    world.damaged++;
}

static void ask_size(unsigned heap) {
    void *address = take_address();
    const struct block *block = find(address);
    bool ours = block && block->heap == heap;
    size_t size = 1;

    verify_note("%u size of %p", heap, address);
    expect(moat_heap_block_size(world.heaps[heap], address, &size), ours ? MOAT_OK : MOAT_NOT_OURS);
    if (ours ? size < block->size : size != 0)
        verify_fail("the block at %p has room for %zu", address, size);
}

/* The memory of heaps is nobody's else, though the manager is the same. */
static void meddle(unsigned heap) {
    unsigned choice = input_take(1) % 8;
    void *address = take_address();
    const struct block *block = find(address);
    uint32_t old;

    if (!block)
        return;
    verify_note("%u meddle %u with %p", heap, choice, address);
    world.misused += choice < 2 || (choice >= 4 && choice < 7);
    switch (choice) {
    case 0:
        address = (void *)((uintptr_t)address / MODEL_GRANULE * MODEL_GRANULE);
        expect(moat_release(world.manager, address), MOAT_NOT_OURS);
        world.refused++;
        break;
    case 1:
        expect(moat_decommit(world.manager, address, 1), MOAT_NOT_OURS);
        world.refused++;
        break;
    case 2:
        expect(moat_commit(world.manager, address, 1, MOAT_PAGE_READONLY, NULL),
               MOAT_INVALID_ADDRESS);
        break;
    case 3:
        expect(moat_reset(world.manager, address, 1, MOAT_PAGE_READONLY, NULL),
               MOAT_INVALID_ADDRESS);
        break;
    case 4:
        expect(moat_protect(NULL, address, 1, MOAT_PAGE_READONLY, &old), MOAT_INVALID_ADDRESS);
        break;
    case 5:
        expect(moat_lock(world.manager, address), MOAT_NOT_OURS);
        break;
    case 6:
        expect(moat_unlock(world.manager, address), MOAT_NOT_OURS);
        break;
    default:
        expect(moat_reserve(world.manager, address, 1, MOAT_PAGE_READONLY, 0, &address),
               MOAT_INVALID_ADDRESS);
    }
}

/* --- What is compared --- */

static int visit(const struct moat_heap_block *shown, void *context) {
    struct block *block = find(shown->address);

    if (!block || block->heap != *(unsigned *)context || block->shown)
        verify_fail("a walk shows %p, which is not live there, or twice", shown->address);
    block->shown = true;
    if (shown->size < block->size || (block->line && shown->size != block->size))
        verify_fail("a walk shows %zu bytes at %p, not %zu", shown->size, shown->address,
                    block->size);
    if ((shown->file != NULL) != (block->line != 0) ||
        (shown->file && (strcmp(shown->file, file_name) != 0 || shown->line != block->line)))
        verify_fail("a walk shows line %d at %p, not %d", shown->line, shown->address, block->line);
    return 0;
}

static void check_walks(void) {
    for (size_t i = 0; i < world.count; i++)
        world.blocks[i].shown = false;
    for (unsigned heap = 0; heap < HEAPS; heap++)
        expect(moat_heap_walk(world.heaps[heap], visit, &heap), MOAT_OK);
    for (size_t i = 0; i < world.count; i++) {
        if (!world.blocks[i].shown)
            verify_fail("a walk does not show %p", (void *)world.blocks[i].address);
        check_content(&world.blocks[i]);
    }
}

static void check_counters(void) {
    struct moat_heap_stats sum = {0}, heap;
    struct moat_stats stats;

    for (unsigned i = 0; i < HEAPS; i++) {
        expect(moat_heap_stats_read(world.heaps[i], &heap), MOAT_OK);
        sum.blocks += heap.blocks;
        sum.regions += heap.regions;
        sum.region_bytes += heap.region_bytes;
    }
    expect(moat_stats_read(world.manager, &stats), MOAT_OK);
    if (sum.blocks != world.count - (plant_is("blocks-uncounted") && world.count > 9))
        verify_fail("the heaps count %zu blocks, not %zu", (size_t)sum.blocks, world.count);
    if (stats.regions_live != sum.regions || stats.bytes_reserved != sum.region_bytes ||
        stats.bytes_committed != sum.region_bytes)
        verify_fail("the manager holds %zu regions of %zu bytes, %zu of them committed, its heaps "
                    "%zu of %zu",
                    (size_t)stats.regions_live, (size_t)stats.bytes_reserved,
                    (size_t)stats.bytes_committed, (size_t)sum.regions, (size_t)sum.region_bytes);
    if (world.quota && stats.bytes_committed > world.quota)
        verify_fail("%zu bytes are committed, more than the quota", (size_t)stats.bytes_committed);
    if (stats.refused != world.refused || stats.guard_failures || stats.stranded_bytes)
        verify_fail("%zu calls were refused, not %zu; %zu guards failed", (size_t)stats.refused,
                    (size_t)world.refused, (size_t)stats.guard_failures);
    terms_check(&world.options, &world.reports, world.misused);
    if (stats.poison_damage != world.reports.damage || stats.poison_damage > world.damaged)
        verify_fail("%zu blocks count as damaged, %zu were reported, %zu damaged",
                    (size_t)stats.poison_damage, (size_t)world.reports.damage,
                    (size_t)world.damaged);
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
    if (choice & 4)
        options->quota_bytes = world.quota = ((choice >> 3) % 8 + 1) * 256 * KIB;
    terms_say(0, options);
    expect(moat_manager_create(options, &world.manager), MOAT_OK);
    bool strict = options->execute == MOAT_EXECUTE_WX;
    if (strict)
        expect(moat_heap_create(world.manager, MOAT_HEAP_EXECUTABLE, &world.heaps[0]),
               MOAT_CODE_BLOCKED);
    for (unsigned heap = 0; heap < HEAPS; heap++)
        expect(moat_heap_create(world.manager, heap && !strict ? MOAT_HEAP_EXECUTABLE : 0,
                                &world.heaps[heap]),
               MOAT_OK);
    world.misused = world.reports.misuse; /* of the heap that was refused */
}

static void operate(void) {
    unsigned choice = input_take(1);
    unsigned heap = choice & 1;

    if (choice < 110)
        allocate(heap);
    else if (choice < 192)
        free_one(heap);
    else if (choice < 200)
        damage();
    else if (choice < 225)
        ask_size(heap);
    else
        meddle(heap);
}

/* What is still live goes with its heap, and what is the other's stays. */
static void end(void) {
    for (unsigned heap = 0; heap < HEAPS; heap++) {
        verify_note("%u destroy", heap);
        moat_heap_destroy(world.heaps[heap]);
        for (size_t i = world.count; i-- > 0;) {
            if (world.blocks[i].heap != heap)
                check_content(&world.blocks[i]);
            else if (probe_readable((uintptr_t)world.blocks[i].address, 1))
                verify_fail("a block of a heap that was destroyed can be read at %p",
                            (void *)world.blocks[i].address);
            else
                world.blocks[i] = world.blocks[--world.count];
        }
    }
    struct moat_stats stats;
    expect(moat_stats_read(world.manager, &stats), MOAT_OK);
    if (stats.regions_live || stats.bytes_committed || stats.bytes_reserved)
        verify_fail("heaps that were destroyed left %zu regions", (size_t)stats.regions_live);
    if (stats.poison_damage != world.damaged || world.reports.damage != world.damaged)
        verify_fail("%zu blocks were damaged, %zu count as damaged, %zu were reported",
                    (size_t)world.damaged, (size_t)stats.poison_damage,
                    (size_t)world.reports.damage);
    moat_manager_destroy(world.manager);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input_begin(data, size);
    begin();
    for (unsigned count = 0; input_left() > 0 && count < OPERATIONS_MAX; count++) {
        operate();
        check_counters();
        if (count % FULL_CHECK_EVERY == FULL_CHECK_EVERY - 1)
            check_walks();
    }
    check_walks();
    end();
    return 0;
}
