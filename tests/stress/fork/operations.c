/* SPDX-License-Identifier: MIT */
/* operations: how the scene is set, what is stepped through, what the child checks besides, and how
 * the parent cleans up. */
#define _GNU_SOURCE
#include "operations.h"

#include "../support/core.h"
#include "../support/fork_child.h"

#include <moat/heap.h>
#include <moat/lock.h>
#include <moat/placeholder.h>
#include <moat/space.h>

#include <string.h>

#define RW  MOAT_PAGE_READWRITE
#define BIG ((size_t)300 << 20)

enum { BLOCK = 2097152 };

struct fork_scene fork_scene;

void fork_ok(enum moat_status status) {
    CHECK(status == MOAT_OK, "%d: %s", status, moat_last_error_text());
}

void fork_reserve(size_t bytes, bool commit) {
    void *at;
    fork_scene.size = bytes;
    fork_ok(
        moat_reserve(fork_scene.manager, NULL, bytes, RW, commit ? MOAT_RESERVE_COMMIT : 0, &at));
    fork_scene.base = (uintptr_t)at;
}

void fork_stamp(uintptr_t at, size_t bytes, unsigned char value) {
    memset((void *)at, value, bytes);
}

bool fork_is_stamped(uintptr_t at, size_t bytes, unsigned char value) {
    for (size_t i = 0; i < bytes; i++)
        if (((volatile unsigned char *)at)[i] != value)
            return false;
    return true;
}

/* --- The operations: how the scene is set, what is stepped through, what the child checks besides,
 * and how the parent cleans up --- */

static void set_small(void) {
    fork_reserve(16 * PAGE, false);
    fork_ok(moat_commit(fork_scene.manager, (void *)fork_scene.base, 4 * PAGE, RW, NULL));
    fork_stamp(fork_scene.base, 4 * PAGE, 's');
}
static void set_large(void) {
    fork_reserve(3 * BLOCK + 5 * PAGE, false);
    fork_ok(moat_commit(fork_scene.manager, (void *)fork_scene.base, 4 * PAGE, RW, NULL));
    fork_stamp(fork_scene.base, 4 * PAGE, 's');
}
static void set_full(void) {
    fork_reserve(3 * BLOCK + 5 * PAGE, true);
    fork_stamp(fork_scene.base, 4 * PAGE, 's');
}
static void set_alone(void) {
    fork_reserve(BIG, false);
    fork_ok(moat_commit(fork_scene.manager, (void *)fork_scene.base, 4 * PAGE, RW, NULL));
    fork_stamp(fork_scene.base, 4 * PAGE, 's');
}
static void set_free(void) {
    fork_reserve(16 * PAGE, false);
    fork_ok(moat_release(fork_scene.manager, (void *)fork_scene.base));
}
static void set_free_large(void) {
    fork_reserve(3 * BLOCK, false);
    fork_ok(moat_release(fork_scene.manager, (void *)fork_scene.base));
}
static void set_nothing(void) {
    fork_scene.base = 0;
}

/* An arena in which nothing is: of another kind than those in use. */
static void set_empty_arena(void) {
    struct moat_options options;
    struct moat_manager *other;
    void *at;

    fork_scene.base = 0;
    moat_options_init(&options);
    fork_ok(moat_options_parse(&options, "dump=none,quarantine=0", NULL, 0));
    fork_ok(moat_manager_create(&options, &other));
    fork_ok(moat_reserve(other, NULL, PAGE, RW, MOAT_RESERVE_COMMIT, &at));
    fork_ok(moat_release(other, at));
    moat_manager_destroy(other);
}

static void do_reserve_there(void) {
    void *at;
    fork_ok(moat_reserve(fork_scene.manager, (void *)fork_scene.base, fork_scene.size, RW, 0, &at));
}
static void do_reserve_commit_there(void) {
    void *at;
    fork_ok(moat_reserve(fork_scene.manager, (void *)fork_scene.base, fork_scene.size, RW,
                         MOAT_RESERVE_COMMIT, &at));
}
static void do_reserve_many(void) {
    static void *at[3];
    fork_ok(moat_reserve(fork_scene.manager, NULL, 16 * PAGE, RW, MOAT_RESERVE_COMMIT, &at[0]));
    fork_ok(moat_reserve(fork_scene.manager, NULL, 3 * BLOCK, RW, MOAT_RESERVE_COMMIT, &at[1]));
    fork_ok(moat_reserve(fork_scene.manager, NULL, BIG, RW, 0, &at[2]));
    for (unsigned i = 0; i < 3; i++)
        fork_ok(moat_release(fork_scene.manager, at[i]));
}
static void do_commit_part(void) {
    fork_ok(
        moat_commit(fork_scene.manager, (void *)(fork_scene.base + 6 * PAGE), 5 * PAGE, RW, NULL));
}
static void do_commit_all(void) {
    fork_ok(moat_commit(fork_scene.manager, (void *)fork_scene.base, fork_scene.size, RW, NULL));
}
static void do_decommit_part(void) {
    fork_ok(moat_decommit(fork_scene.manager, (void *)(fork_scene.base + 6 * PAGE), 5 * PAGE));
}
static void do_decommit_blocks(void) {
    uintptr_t first = (fork_scene.base + BLOCK) / BLOCK * BLOCK;
    fork_ok(moat_decommit(fork_scene.manager, (void *)first, BLOCK + 3 * PAGE));
}
static void do_protect(void) {
    uint32_t old;
    fork_ok(moat_protect(fork_scene.manager, (void *)fork_scene.base, 2 * PAGE, MOAT_PAGE_READONLY,
                         &old));
    fork_ok(moat_protect(fork_scene.manager, (void *)fork_scene.base, 2 * PAGE,
                         MOAT_PAGE_READWRITE | MOAT_PAGE_GUARD, &old));
    fork_ok(moat_protect(fork_scene.manager, (void *)fork_scene.base, 2 * PAGE, MOAT_PAGE_READWRITE,
                         &old));
}
static void do_release(void) {
    fork_ok(moat_release(fork_scene.manager, (void *)fork_scene.base));
}
static void do_lock(void) {
    fork_ok(moat_lock(fork_scene.manager, (void *)fork_scene.base));
    fork_ok(
        moat_commit(fork_scene.manager, (void *)(fork_scene.base + 6 * PAGE), 5 * PAGE, RW, NULL));
    fork_ok(moat_decommit(fork_scene.manager, (void *)(fork_scene.base + 6 * PAGE), 5 * PAGE));
    fork_ok(moat_unlock(fork_scene.manager, (void *)fork_scene.base));
}
static void do_trim(void) {
    size_t given;
    enum moat_status status = moat_trim(NULL, (size_t)100 << 40, &given);
    CHECK(status == MOAT_OK && given > 0, "%d, %zu bytes given", status, given);
}
static void do_heap(void) {
    void *many[8];
    for (unsigned i = 0; i < 8; i++)
        fork_ok(moat_heap_alloc(fork_scene.heap, 30000, &many[i]));
    for (unsigned i = 0; i < 8; i++)
        fork_ok(moat_heap_free(fork_scene.heap, many[i]));
}
static void do_heap_large(void) {
    void *many[2];
    for (unsigned i = 0; i < 2; i++)
        fork_ok(moat_heap_alloc(fork_scene.heap, 3 << 20, &many[i]));
    for (unsigned i = 0; i < 2; i++)
        fork_ok(moat_heap_free(fork_scene.heap, many[i]));
}
static void do_placeholder(void) {
    void *at, *in = NULL;
    fork_ok(moat_placeholder_reserve(fork_scene.manager, NULL, 8 * GRANULE, 0, NULL, &at));
    fork_ok(moat_placeholder_preserve(fork_scene.manager, (char *)at + GRANULE, 2 * GRANULE));
    fork_ok(moat_placeholder_replace(fork_scene.manager, (char *)at + GRANULE, 2 * GRANULE, RW,
                                     MOAT_RESERVE_COMMIT, &in));
    fork_ok(moat_placeholder_preserve(fork_scene.manager, in, 2 * GRANULE));
    fork_ok(moat_placeholder_coalesce(fork_scene.manager, at, 8 * GRANULE));
    fork_ok(moat_release(fork_scene.manager, at));
}

static void first_pages_are_kept(void) {
    EXPECT(fork_is_stamped(fork_scene.base, 4 * PAGE, 's'), "what nobody worked on has changed");
}

static void undo_release(void) {
    fork_ok(moat_release(fork_scene.manager, (void *)fork_scene.base));
}
static void undo_nothing(void) {
}

const struct fork_operation fork_operations[] = {
    {"reserve there", set_free, do_reserve_there, NULL, undo_release, true, false},
    {"reserve and commit there", set_free, do_reserve_commit_there, NULL, undo_release, true,
     false},
    {"reserve and commit blocks there", set_free_large, do_reserve_commit_there, NULL, undo_release,
     true, false},
    {"reserve anywhere", set_nothing, do_reserve_many, NULL, undo_nothing, false, true},
    {"commit", set_small, do_commit_part, first_pages_are_kept, undo_release, false, false},
    {"commit all", set_small, do_commit_all, first_pages_are_kept, undo_release, false, false},
    {"commit blocks", set_large, do_commit_all, first_pages_are_kept, undo_release, false, false},
    {"commit alone", set_alone, do_commit_part, first_pages_are_kept, undo_release, false, false},
    {"commit all alone", set_alone, do_commit_all, first_pages_are_kept, undo_release, false,
     false},
    {"decommit", set_full, do_decommit_part, first_pages_are_kept, undo_release, false, false},
    {"decommit blocks", set_full, do_decommit_blocks, first_pages_are_kept, undo_release, false,
     false},
    {"protect", set_small, do_protect, NULL, undo_release, false, false},
    {"release", set_small, do_release, NULL, undo_nothing, false, false},
    {"release blocks", set_full, do_release, NULL, undo_nothing, false, false},
    {"release alone", set_alone, do_release, NULL, undo_nothing, false, false},
    {"lock", set_small, do_lock, first_pages_are_kept, undo_release, false, false},
    {"trim", set_empty_arena, do_trim, NULL, undo_nothing, false, false},
    {"blocks", set_nothing, do_heap, NULL, undo_nothing, false, false},
    {"large blocks", set_nothing, do_heap_large, NULL, undo_nothing, false, false},
    {"placeholders", set_nothing, do_placeholder, NULL, undo_nothing, false, true},
};
const unsigned fork_operation_count = sizeof fork_operations / sizeof fork_operations[0];
