/* SPDX-License-Identifier: MIT */
/*
 * core_model: any sequence of calls does what the model of an array of pages says: each status,
 * each query, the access rights of each page, its content, whether it was written, counters,
 * reports of misuse, and what is told of an address and its past; also in a forked child.
 *
 * An input is a list of calls on two managers, each with options of its own. Calls aim at regions
 * that live, at two stretches of addresses (one in an arena or not, one outside) where reservations
 * at given addresses and mappings of the fuzzer's own come to touch and to overlap, and at
 * addresses that nothing can be right for.
 */
#include "support/act.h"
#include "support/input.h"
#include "support/plant.h"
#include "support/world.h"

enum { OPERATIONS_MAX = 512, FULL_CHECK_EVERY = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const plant_names[] = {"recommit-keeps-protection", "release-from-anywhere",
                                   "nocache-of-the-page", NULL};

/* How often each call comes, in a hundred and twenty-eight. */
static const struct {
    void (*act)(unsigned owner);
    unsigned weight;
} calls[] = {
    {act_reserve, 12},    {act_commit, 11},        {act_reset, 5},        {act_decommit, 6},
    {act_release, 4},     {act_protect, 6},        {act_query, 2},        {act_fill, 8},
    {act_lock, 2},        {act_unlock, 2},         {act_level, 2},        {act_watch_get, 6},
    {act_watch_reset, 3}, {act_kernel_write, 2},   {act_lock_pages, 3},   {act_unlock_pages, 2},
    {act_discard, 2},     {act_reset_undo, 3},     {act_drop_content, 2}, {act_guard_fault, 2},
    {act_touch, 4},       {act_placeholder, 3},    {act_replace, 4},      {act_preserve, 4},
    {act_coalesce, 2},    {act_reserve_within, 2}, {act_map, 3},          {act_unmap, 1},
    {act_adopt, 2},       {act_disown, 1},         {act_trim, 1},         {act_describe, 6},
    {act_guards, 3},      {act_fork, 1},           {act_life, 6},
};

static void operate(void) {
    unsigned choice = input_take(1);
    unsigned owner = choice & 1;

    choice >>= 1;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (choice < calls[i].weight) {
            calls[i].act(owner);
            return;
        }
        choice -= calls[i].weight;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input_begin(data, size);
    world_begin();
    for (unsigned count = 0; input_left() > 0 && count < OPERATIONS_MAX; count++) {
        operate();
        world_check();
        if (count % FULL_CHECK_EVERY == FULL_CHECK_EVERY - 1)
            world_check_all();
    }
    world_end();
    return 0;
}
