/* SPDX-License-Identifier: MIT */
/*
 * code_heap: what the two views of a block are at each step of its life, to the kernel and to a
 * query; who may free what; what it costs the manager.
 */
#include "support/code.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(code_heap, .init = code_set_up, .fini = code_tear_down);

static struct moat_page_info ask(const void *address) {
    struct moat_page_info info;
    cr_assert_eq(moat_query(address, &info), MOAT_OK);
    return info;
}

static uint64_t committed(void) {
    struct moat_stats stats;
    cr_assert_eq(moat_stats_read(code_manager, &stats), MOAT_OK);
    return stats.bytes_committed;
}

#define STATES(block, execute_rights, execute_protection, write_rights, write_protection)          \
    do {                                                                                           \
        cr_assert_str_eq(code_rights((block).execute), execute_rights);                            \
        cr_assert_eq(ask((block).execute).protection, execute_protection);                         \
        cr_assert_str_eq(code_rights((block).write), write_rights);                                \
        cr_assert_eq(ask((block).write).protection, write_protection);                             \
    } while (0)

Test(code_heap, a_block_is_never_written_where_it_is_executed) {
    struct moat_code_block block = code_alloc(100);
    cr_assert_eq(block.size, PAGE);
    cr_assert_neq(block.execute, block.write);
    STATES(block, "---", MOAT_PAGE_NOACCESS, "rw-", MOAT_PAGE_READWRITE);
    memset(block.write, 0xC3, PAGE);
    cr_assert_eq(moat_code_publish(code_heap, block.execute), MOAT_OK);
    STATES(block, "r-x", MOAT_PAGE_EXECUTE_READ, "rw-", MOAT_PAGE_READWRITE);
    cr_assert_eq(memcmp(block.execute, block.write, PAGE), 0);
    cr_assert_eq(moat_code_seal(code_heap, block.execute), MOAT_OK);
    STATES(block, "r-x", MOAT_PAGE_EXECUTE_READ, "---", 0);
    cr_assert_eq(*(unsigned char *)block.execute, 0xC3, "sealing keeps the content");
    struct moat_code_block again;
    cr_assert_eq(moat_code_open(code_heap, block.execute, &again), MOAT_OK);
    cr_assert_eq(memcmp(&again, &block, sizeof block), 0);
    STATES(block, "r-x", MOAT_PAGE_EXECUTE_READ, "rw-", MOAT_PAGE_READWRITE);
    cr_assert_eq(*(unsigned char *)block.write, 0xC3);
    *(unsigned char *)block.write = 0x90;
    cr_assert_eq(*(volatile unsigned char *)block.execute, 0x90);
    cr_assert_eq(moat_code_free(code_heap, block.execute), MOAT_OK);
    STATES(block, "---", 0, "---", 0);
}

Test(code_heap, queries_call_it_mapped_and_name_the_owner) {
    struct moat_code_block block = code_alloc(2 * PAGE);
    struct moat_page_info info = ask(block.execute);
    cr_assert_eq(info.kind, MOAT_KIND_MAPPED);
    cr_assert_eq(info.state, MOAT_STATE_COMMITTED);
    cr_assert_eq(info.size, 2 * PAGE);
    cr_assert_eq(info.owner, code_manager);
    cr_assert_eq(info.allocation_protection, MOAT_PAGE_EXECUTE_READ);
    info = ask(block.write);
    cr_assert_eq(info.kind, MOAT_KIND_MAPPED);
    cr_assert_eq(info.allocation_protection, MOAT_PAGE_READWRITE);
    cr_assert_eq(ask((char *)block.write + 2 * PAGE).state, MOAT_STATE_RESERVED);
    cr_assert_eq(moat_code_seal(code_heap, block.execute), MOAT_OK);
    cr_assert_eq(ask(block.write).state, MOAT_STATE_RESERVED);
}

/* They are the heap's; and before and behind each lies what is mapped and traps. */
Test(code_heap, the_views_are_guarded_and_nobody_elses) {
    struct moat_code_block block = code_alloc(PAGE);
    char *views[] = {block.execute, block.write};
    for (unsigned i = 0; i < 2; i++) {
        uint32_t old;
        cr_assert_eq(moat_release(code_manager, views[i]), MOAT_NOT_OURS);
        cr_assert_eq(moat_decommit(code_manager, views[i], PAGE), MOAT_NOT_OURS);
        cr_assert_eq(moat_commit(code_manager, views[i], PAGE, MOAT_PAGE_READWRITE, NULL),
                     MOAT_INVALID_ADDRESS);
        cr_assert_eq(moat_protect(NULL, views[i], PAGE, MOAT_PAGE_READONLY, &old),
                     MOAT_INVALID_ADDRESS);
        char *base = ask(views[i]).allocation_base;
        cr_assert_str_eq(code_rights(base - 1), "---");
        cr_assert_str_eq(code_rights(base + HEAP), "---");
    }
}

Test(code_heap, memory_is_charged_once_and_given_back) {
    cr_assert_eq(committed(), 0);
    struct moat_code_block block = code_alloc(8 * PAGE);
    cr_assert_eq(committed(), 8 * PAGE);
    cr_assert_eq(moat_code_publish(code_heap, block.execute), MOAT_OK);
    cr_assert_eq(moat_code_seal(code_heap, block.execute), MOAT_OK);
    cr_assert_eq(moat_code_open(code_heap, block.execute, NULL), MOAT_OK);
    cr_assert_eq(committed(), 8 * PAGE);
    cr_assert_eq(moat_code_free(code_heap, block.execute), MOAT_OK);
    cr_assert_eq(committed(), 0);
}

Test(code_heap, the_quota_bounds_it) {
    struct moat_code_block block;
    code_instead("quota=64K");
    cr_assert_eq(moat_code_alloc(code_heap, 17 * PAGE, &block), MOAT_COMMIT_LIMIT);
    cr_assert_null(block.execute);
    block = code_alloc(16 * PAGE);
    struct moat_code_block more;
    cr_assert_eq(moat_code_alloc(code_heap, 1, &more), MOAT_COMMIT_LIMIT);
    cr_assert_eq(moat_code_free(code_heap, block.execute), MOAT_OK);
    (void)code_alloc(16 * PAGE);
}

/* Shared memory as the kernel counts it, which is what the blocks are. */
static long shared_kib(void) {
    char line[256];
    long kib = -1;
    FILE *status = fopen("/proc/self/status", "re");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "RssShmem: %ld", &kib) == 1)
            break;
    fclose(status);
    return kib;
}

Test(code_heap, memory_of_freed_blocks_goes_back_sealed_or_not) {
    long before = shared_kib();
    for (unsigned sealed = 0; sealed < 2; sealed++) {
        struct moat_code_block block = code_alloc(4 << 20);
        memset(block.write, 0xCC, block.size);
        cr_assert_geq(shared_kib(), before + 4000);
        if (sealed)
            cr_assert_eq(moat_code_seal(code_heap, block.execute), MOAT_OK);
        cr_assert_eq(moat_code_free(code_heap, block.execute), MOAT_OK);
        cr_assert_leq(shared_kib(), before + 100);
    }
}

Test(code_heap, used_again_it_reads_as_zero) {
    struct moat_code_block block = code_alloc(HEAP);
    memset(block.write, 0xCC, HEAP);
    cr_assert_eq(moat_code_publish(code_heap, block.execute), MOAT_OK);
    cr_assert_eq(moat_code_free(code_heap, block.execute), MOAT_OK);
    struct moat_code_block other = code_alloc(HEAP);
    cr_assert_eq(other.execute, block.execute, "there is no other place");
    for (size_t i = 0; i < HEAP; i++)
        cr_assert_eq(((unsigned char *)other.write)[i], 0);
    cr_assert_eq(moat_code_free(code_heap, other.execute), MOAT_OK);
}

Test(code_heap, a_full_heap_says_so_and_has_room_again) {
    struct moat_code_block blocks[16], more;
    for (unsigned i = 0; i < 16; i++)
        blocks[i] = code_alloc(HEAP / 16);
    cr_assert_eq(moat_code_alloc(code_heap, 1, &more), MOAT_NO_MEMORY);
    cr_assert_eq(moat_code_free(code_heap, blocks[5].execute), MOAT_OK);
    cr_assert_eq(moat_code_free(code_heap, blocks[6].execute), MOAT_OK);
    cr_assert_eq(moat_code_alloc(code_heap, HEAP / 8 + 1, &more), MOAT_NO_MEMORY);
    cr_assert_eq(code_alloc(HEAP / 8).execute, blocks[5].execute);
    cr_assert_eq(moat_code_alloc(code_heap, SIZE_MAX, &more), MOAT_NO_MEMORY);
}

Test(code_heap, blocks_do_not_overlap_and_freed_ones_rest) {
    struct moat_code_block first = code_alloc(3 * PAGE);
    cr_assert_eq(moat_code_free(code_heap, first.execute), MOAT_OK);
    struct moat_code_block blocks[64];
    for (unsigned i = 0; i < 64; i++) {
        blocks[i] = code_alloc((i % 7 + 1) * PAGE);
        cr_assert_neq(blocks[i].execute, first.execute, "what was freed is used again late");
        memset(blocks[i].write, (int)i, blocks[i].size);
    }
    for (unsigned i = 0; i < 64; i++) {
        cr_assert_eq(moat_code_publish(code_heap, blocks[i].execute), MOAT_OK);
        for (size_t j = 0; j < blocks[i].size; j++)
            cr_assert_eq(((unsigned char *)blocks[i].execute)[j], i);
    }
}

Test(code_heap, what_is_no_block_is_refused_and_counted) {
    struct moat_code_block block = code_alloc(2 * PAGE);
    struct moat_stats stats;
    char on_stack;
    void *wrong[] = {(char *)block.execute + PAGE,
                     (char *)block.execute + 1,
                     block.write,
                     (char *)block.execute + 2 * PAGE,
                     &on_stack,
                     (void *)PAGE,
                     (void *)-1};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_assert_eq(moat_code_free(code_heap, wrong[i]), MOAT_NOT_OURS);
        cr_assert_eq(moat_code_publish(code_heap, wrong[i]), MOAT_NOT_OURS);
        cr_assert_eq(moat_code_seal(code_heap, wrong[i]), MOAT_NOT_OURS);
        cr_assert_eq(moat_code_open(code_heap, wrong[i], NULL), MOAT_NOT_OURS);
    }
    cr_assert_eq(moat_stats_read(code_manager, &stats), MOAT_OK);
    cr_assert_eq(stats.refused, sizeof wrong / sizeof wrong[0]);
    cr_assert_eq(moat_code_free(code_heap, block.execute), MOAT_OK);
    cr_assert_eq(moat_code_free(code_heap, block.execute), MOAT_NOT_OURS);
    cr_assert_eq(moat_code_free(code_heap, NULL), MOAT_OK);
    struct moat_code_heap *other;
    cr_assert_eq(moat_code_heap_create(code_manager, GRANULE, NULL, &other), MOAT_OK);
    block = code_alloc(PAGE);
    cr_assert_eq(moat_code_free(other, block.execute), MOAT_NOT_OURS);
    moat_code_heap_destroy(other);
    *(volatile char *)block.write = 1;
}

Test(code_heap, find_answers_for_both_views) {
    struct moat_code_block a = code_alloc(PAGE), b = code_alloc(300 * PAGE), c = code_alloc(PAGE),
                           found;
    cr_assert_eq(moat_code_find(code_heap, (char *)b.execute + 299 * PAGE + 17, &found), MOAT_OK);
    cr_assert_eq(memcmp(&found, &b, sizeof b), 0);
    cr_assert_eq(moat_code_find(code_heap, (char *)b.write + 5, &found), MOAT_OK);
    cr_assert_eq(memcmp(&found, &b, sizeof b), 0);
    cr_assert_eq(moat_code_find(code_heap, (char *)c.execute + PAGE - 1, &found), MOAT_OK);
    cr_assert_eq(memcmp(&found, &c, sizeof c), 0);
    cr_assert_eq(moat_code_find(code_heap, (char *)c.execute + PAGE, &found), MOAT_NOT_OURS);
    cr_assert_null(found.execute);
    cr_assert_eq(moat_code_find(code_heap, &found, &found), MOAT_NOT_OURS);
    cr_assert_eq(moat_code_free(code_heap, b.execute), MOAT_OK);
    cr_assert_eq(moat_code_find(code_heap, (char *)b.execute + PAGE, &found), MOAT_NOT_OURS);
    cr_assert_eq(moat_code_find(code_heap, a.write, &found), MOAT_OK);
}

Test(code_heap, arguments_are_checked) {
    struct moat_code_heap *made = code_heap;
    struct moat_code_block block = {&block, &block, 1};
    struct moat_address_limits crooked = {.lowest = 1};
    cr_assert_eq(moat_code_heap_create(code_manager, 0, NULL, &made), MOAT_INVALID_ARGUMENT);
    cr_assert_null(made);
    cr_assert_eq(moat_code_heap_create(code_manager, MOAT_CODE_HEAP_MAX + 1, NULL, &made),
                 MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_code_heap_create(code_manager, PAGE, &crooked, &made), MOAT_INVALID_ARGUMENT);
    cr_assert_eq(moat_code_heap_create(NULL, PAGE, NULL, &made), MOAT_NO_ACCESS);
    cr_assert_eq(moat_code_heap_create(code_manager, PAGE, NULL, NULL), MOAT_NO_ACCESS);
    cr_assert_eq(moat_code_alloc(code_heap, 0, &block), MOAT_INVALID_ARGUMENT);
    cr_assert_null(block.execute);
    cr_assert_eq(moat_code_alloc(code_heap, 1, NULL), MOAT_NO_ACCESS);
    cr_assert_eq(moat_code_alloc(NULL, 1, &block), MOAT_NO_ACCESS);
    cr_assert_eq(moat_code_free(NULL, &block), MOAT_NO_ACCESS);
    cr_assert_eq(moat_code_publish(NULL, &block), MOAT_NO_ACCESS);
    cr_assert_eq(moat_code_seal(NULL, &block), MOAT_NO_ACCESS);
    cr_assert_eq(moat_code_open(NULL, &block, NULL), MOAT_NO_ACCESS);
    cr_assert_eq(moat_code_find(NULL, &block, &block), MOAT_NO_ACCESS);
    cr_assert_eq(moat_code_find(code_heap, &block, NULL), MOAT_NO_ACCESS);
    moat_code_heap_destroy(NULL);
}

/* What a JIT wants: code within reach of a 32-bit displacement from its runtime's. */
Test(code_heap, the_execute_view_lies_within_limits) {
    uintptr_t here = (uintptr_t)&code_alloc & ~(uintptr_t)(GRANULE - 1);
    struct moat_address_limits near = {.lowest = here > (1u << 30) ? here - (1u << 30) : GRANULE,
                                       .highest = here + (1u << 30) - 1};
    struct moat_code_heap *made;
    struct moat_code_block block;
    cr_assert_eq(moat_code_heap_create(code_manager, 1 << 20, &near, &made), MOAT_OK, "%s",
                 moat_last_error_text());
    cr_assert_eq(moat_code_alloc(made, 1 << 20, &block), MOAT_OK);
    cr_assert_geq((uintptr_t)block.execute, near.lowest);
    cr_assert_leq((uintptr_t)block.execute + block.size - 1, near.highest);
    moat_code_heap_destroy(made);
}

Test(code_heap, the_largest_heap_takes_address_space_alone) {
    struct moat_code_heap *made;
    struct moat_code_block block;
    cr_assert_eq(moat_code_heap_create(code_manager, MOAT_CODE_HEAP_MAX, NULL, &made), MOAT_OK,
                 "%s", moat_last_error_text());
    cr_assert_eq(committed(), 0);
    cr_assert_eq(moat_code_alloc(made, PAGE, &block), MOAT_OK);
    cr_assert_eq(committed(), PAGE);
    moat_code_heap_destroy(made);
}

Test(code_heap, every_backend_and_rung_has_it) {
    static const char *const words[] = {"trap=protect", "backend=mimalloc", "fork=wipe"};
    for (unsigned i = 0; i < 3; i++) {
        struct moat_options options;
        code_tear_down();
        moat_options_init(&options);
        cr_assert_eq(moat_options_parse(&options, words[i], NULL, 0), MOAT_OK);
        if (moat_manager_create(&options, &code_manager) != MOAT_OK)
            code_create("trap=auto"); /* no such backend here */
        else
            cr_assert_eq(moat_code_heap_create(code_manager, HEAP, NULL, &code_heap), MOAT_OK);
        struct moat_code_block block = code_alloc(PAGE);
        *(unsigned char *)block.write = 0xC3;
        cr_assert_eq(moat_code_publish(code_heap, block.execute), MOAT_OK);
        cr_assert_eq(*(unsigned char *)block.execute, 0xC3);
    }
}
