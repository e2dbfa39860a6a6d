/* SPDX-License-Identifier: MIT */
/*
 * contract_race: what stays true when threads meet.
 *
 * Could fail by two winners of one release or reserve, by a lost page when neighbours are committed
 * at once, or by a swap of protections that loses or doubles a value.
 */
#include "support/contract.h"

#define THREADS 4
#define ROUNDS  200

struct racer {
    BYTE *base;
    SIZE_T index;
    bool won;
    DWORD error;
    DWORD value, old;
};

static struct racer racers[THREADS];

static void start_at(BYTE *base) {
    for (SIZE_T i = 0; i < THREADS; i++)
        racers[i] = (struct racer){.base = base, .index = i};
}

static void prepare_hole(void) {
    start_at(hole(GRANULE));
}

static void run(void (*work)(void *)) {
    run_threads(THREADS, NULL, work, racers, sizeof *racers);
}

static unsigned winners(void) {
    unsigned count = 0;
    for (unsigned i = 0; i < THREADS; i++)
        count += racers[i].won;
    return count;
}

static void release_it(void *argument) {
    struct racer *racer = argument;
    racer->won = VirtualFree(racer->base, 0, MEM_RELEASE);
}

static void reserve_it(void *argument) {
    struct racer *racer = argument;
    racer->won = VirtualAlloc(racer->base, GRANULE, MEM_RESERVE, PAGE_NOACCESS) != NULL;
    if (!racer->won)
        racer->error = GetLastError();
}

static void one_winner(void) {
    bool releases = true, reserves = true, errors = true;

    for (unsigned i = 0; i < ROUNDS; i++) {
        BYTE *base = reserve_commit(PAGE, PAGE_READWRITE);
        start_at(base);
        run(release_it);
        releases = releases && winners() == 1 && state_of(base) == MEM_FREE;

        run_threads(THREADS, prepare_hole, reserve_it, racers, sizeof *racers);
        reserves = reserves && winners() == 1;
        for (unsigned k = 0; k < THREADS; k++)
            errors = errors && (racers[k].won || racers[k].error == ERROR_INVALID_ADDRESS);
        release(racers[0].base);
    }
    row("race_release_one_winner", true, releases);
    row("race_reserve_one_winner", true, reserves);
    row("race_reserve_loser_err", true, errors);
}

/* Every fourth page is one thread's own. */
static void own_pages(void *argument) {
    struct racer *racer = argument;
    racer->won = true;
    for (SIZE_T i = racer->index; i < 64; i += THREADS) {
        BYTE *page = racer->base + i * PAGE;
        racer->won = racer->won &&
                     VirtualAlloc(page, PAGE, MEM_COMMIT, PAGE_READWRITE) == (LPVOID)page &&
                     page[1] == 0 && (page[1] = 1) == 1 && VirtualFree(page, PAGE, MEM_DECOMMIT);
    }
}

static void disjoint_pages(void) {
    BYTE *base = reserve(NULL, 64 * PAGE);
    bool succeeded = true;

    for (unsigned i = 0; i < ROUNDS; i++) {
        start_at(base);
        run(own_pages);
        succeeded = succeeded && winners() == THREADS;
    }
    row("race_disjoint_pages_succeed", true, succeeded);
    row("race_disjoint_pages_state", MEM_RESERVE, state_of(base));
    row("race_disjoint_pages_all_reserved", 64 * PAGE, run_of(base));
    release(base);
}

static void swap(void *argument) {
    struct racer *racer = argument;
    racer->won = VirtualProtect(racer->base, PAGE, racer->value, &racer->old);
}

/* Old values form a chain: what one call set, exactly one other call, or the end, sees. */
static void protections(void) {
    static const DWORD values[THREADS] = {PAGE_READONLY, PAGE_NOACCESS, PAGE_EXECUTE_READ,
                                          PAGE_EXECUTE_READWRITE};
    BYTE *base = reserve_commit(PAGE, PAGE_READWRITE);
    bool chained = true;

    for (unsigned round = 0; round < ROUNDS; round++) {
        DWORD before = PAGE_READWRITE, seen = 0, given = before;
        commit(base, PAGE, before);
        start_at(base);
        for (unsigned i = 0; i < THREADS; i++)
            racers[i].value = values[i];
        run(swap);
        for (unsigned i = 0; i < THREADS; i++) {
            chained = chained && racers[i].won && (seen & racers[i].old) == 0;
            seen |= racers[i].old;
            given |= racers[i].value;
        }
        chained = chained && (seen | protect_of(base)) == given;
    }
    row("race_protect_chain_of_old_values", true, chained);
    release(base);
}

int main(void) {
    one_winner();
    disjoint_pages();
    protections();
    return contract_end();
}
