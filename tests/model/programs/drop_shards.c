/* SPDX-License-Identifier: MIT */
/*
 * Movers of two shards, one of them at work in the old array, leave one after the other. Two
 * threads ask for that array, and the second rests on what the first found quiet. Who gets it
 * writes plain memory: a mover that is still at work is a data race.
 *
 * Edges: quiesce, also by way of `retiring`.
 */
#define MOAT_TESTS_MODEL_PROGRAMS_ONE_SHARD_H /* not one shard but two */
#define moat_shard_of_this_thread             moat_shard_of_this_stack
#include "lockfree/shard.h"
#undef moat_shard_of_this_thread
#undef MOAT_SHARD_LOG2
#define MOAT_SHARD_LOG2             1
#define moat_shard_of_this_thread() 1u

#include "plain_memory.h"
#include "tiny_growth.h"

static void take_and_clear(void) {
    void *lines;
    size_t size;

    if (moat_region_table_take_retired(&table, &lines, &size))
        clear_plainly(&parent[0].slot[0], sizeof(parent[0].slot[0]));
}

static void *move(void *none) {
    move_line(&table, array_word(&table, 1, true), array_word(&table, 2, false), 0);
    mover_leave(&table, 0);
    return none;
}

static void *ask(void *none) {
    take_and_clear();
    return none;
}

static void *leave_and_ask(void *none) {
    mover_leave(&table, 1);
    take_and_clear();
    return none;
}

int main(void) {
    growth_prepare(entry_word(MOVING, 1));
    store(&table.current, array_word(&table, 2, true));
    store(&table.settled, array_word(&table, 2, true));
    store(&table.shard[0].movers, 1);
    store(&table.shard[1].movers, 1);
    run((void *(*const[])(void *)){move, ask, leave_and_ask}, 3);
    return 0;
}
