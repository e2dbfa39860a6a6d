/* SPDX-License-Identifier: MIT */
/*
 * The whole way of a record: taken from the pool, filled, given life, found by others, entered,
 * closed by one of many, given back. What it holds is plain memory, so under ThreadSanitizer each
 * missing edge is a report; two threads in one stripe or in the wrong life are failures anywhere.
 *
 * Usage: lockfree_region_life [rounds per thread] [threads]
 */
#include "lockfree/record_pool.h"
#include "lockfree/region_life.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS_MAX 16
#define RECORDS     24u
#define PLACES      8u /* where records are found, as a table would */

struct record {
    _Atomic uint64_t life;
    _Atomic uint32_t link;
    unsigned long content[MOAT_LIFE_STRIPES]; /* plain: each guarded by its stripe */
    unsigned long name;                       /* plain: written before birth */
};

static struct record records[RECORDS + 1];
static struct moat_record_pool pool;
static _Atomic uint32_t place[PLACES]; /* index of a record, or 0 */
static unsigned long rounds = 2000000;
static unsigned threads = 4;
static _Atomic unsigned long failures, births, deaths, entries;

static void fail(const char *what) {
    if (atomic_fetch_add(&failures, 1) < 10)
        fprintf(stderr, "FAIL: %s\n", what);
}

static void begin_life(unsigned where) {
    uint32_t index = moat_record_pool_take(&pool);
    uint32_t generation, none = 0;

    if (index == 0)
        return;
    records[index].name = index;
    for (unsigned i = 0; i < MOAT_LIFE_STRIPES; i++)
        records[index].content[i] = 0;
    moat_life_birth(&records[index].life, &generation);
    atomic_fetch_add(&births, 1);
    if (atomic_compare_exchange_strong(&place[where], &none, index))
        return;
    uint32_t seen;

    /* Somebody else was faster; nobody knows this record. */
    if (moat_life_close(&records[index].life, generation, false, &seen) != MOAT_LIFE_OK)
        fail("a record that nobody knows is busy");
    moat_life_death(&records[index].life);
    atomic_fetch_add(&deaths, 1);
    moat_record_pool_give(&pool, index);
}

static void work_on(struct record *record, uint32_t generation, unsigned stripe) {
    uint32_t seen;

    if (moat_life_enter(&record->life, generation, UINT32_C(1) << stripe, false, &seen) !=
        MOAT_LIFE_OK)
        return;
    unsigned long before = record->content[stripe]++;

    if (record->name != (unsigned long)(record - records))
        fail("a record without its name");
    if (record->content[stripe] != before + 1)
        fail("two threads in one stripe");
    atomic_fetch_add(&entries, 1);
    moat_life_leave(&record->life, UINT32_C(1) << stripe);
}

/* All stripes by one lock; a holder may enter what it has locked. */
static void lock_all(struct record *record, uint32_t generation) {
    uint32_t seen;
    enum moat_life_status status = moat_life_lock(&record->life, generation, &seen);

    if (status != MOAT_LIFE_OK && status != MOAT_LIFE_BUSY)
        return;
    while (status == MOAT_LIFE_BUSY) {
        sched_yield();
        status = moat_life_drained(&record->life, &seen);
    }
    for (unsigned i = 0; i < MOAT_LIFE_STRIPES; i++)
        record->content[i]++;
    if (moat_life_enter(&record->life, generation, 1, true, &seen) != MOAT_LIFE_OK)
        fail("the holder of a lock does not get in");
    record->content[0]++;
    moat_life_leave(&record->life, 1);
    moat_life_unlock(&record->life);
}

static void end_life(unsigned where, uint32_t index, uint32_t generation, bool give_up) {
    struct record *record = &records[index];
    uint32_t seen;
    enum moat_life_status status = moat_life_close(&record->life, generation, false, &seen);

    if (status != MOAT_LIFE_OK && status != MOAT_LIFE_BUSY)
        return;
    while (status == MOAT_LIFE_BUSY) {
        sched_yield();
        status = moat_life_drained(&record->life, &seen);
    }
    for (unsigned i = 0; i < MOAT_LIFE_STRIPES; i++)
        record->content[i]++;
    if (give_up) {
        moat_life_reopen(&record->life);
        return;
    }
    if (!atomic_compare_exchange_strong(&place[where], &index, 0))
        fail("a record is not where it was found");
    moat_life_death(&record->life);
    atomic_fetch_add(&deaths, 1);
    moat_record_pool_give(&pool, index);
}

static void *run(void *argument) {
    uint64_t random = 88172645463325252 + (uintptr_t)argument;

    for (unsigned long i = 0; i < rounds; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        unsigned where = (unsigned)(random % PLACES);
        uint32_t index = atomic_load(&place[where]);

        if (index == 0) {
            begin_life(where);
            continue;
        }
        uint32_t generation = moat_life_generation(&records[index].life);

        /* Found again: the generation is the one of what stands there. */
        if (atomic_load(&place[where]) != index)
            continue;
        if ((random >> 48 & 31) == 0)
            lock_all(&records[index], generation);
        else if (random >> 40 & 15)
            work_on(&records[index], generation, (unsigned)(random >> 32) % 4);
        else
            end_life(where, index, generation, (random >> 44 & 3) == 0);
    }
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t thread[THREADS_MAX];
    unsigned found = 0;

    if (argc > 1)
        rounds = strtoul(argv[1], NULL, 10);
    if (argc > 2)
        threads = (unsigned)strtoul(argv[2], NULL, 10);
    if (threads == 0 || threads > THREADS_MAX)
        return 2;
    moat_record_pool_init(&pool, &records[0].link, sizeof(records[0]));
    moat_record_pool_extend(&pool, RECORDS);
    for (uintptr_t i = 0; i < threads; i++) {
        if (pthread_create(&thread[i], NULL, run, (void *)i) != 0)
            abort();
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    for (unsigned i = 0; i < PLACES; i++)
        found += place[i] != 0;
    if (births - deaths != found)
        fail("lives and deaths do not add up");
    while (moat_record_pool_take(&pool) != 0)
        found++;
    if (found != RECORDS)
        fail("a record is lost");
    printf("%lu births, %lu entries, %lu failures\n", births, entries, failures);
    return failures != 0;
}
