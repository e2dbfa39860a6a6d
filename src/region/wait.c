/* SPDX-License-Identifier: MIT */
/* wait: deadlines, and being called off. */
#include "region/wait.h"

#include "os/os.h"

#include <stdatomic.h>
#include <stddef.h>

static uint32_t cancels_of(const struct moat_waits *waits) {
    /* A(cancel) */
    return waits ? atomic_load_explicit(&waits->cancels, memory_order_acquire) : 0;
}

struct moat_patience moat_patience_of(struct moat_waits *waits, uint64_t timeout_ns) {
    return (struct moat_patience){
        .timeout_ns = timeout_ns, .waits = waits, .cancels = cancels_of(waits)};
}

bool moat_patience_left(struct moat_patience *patience) {
    uint64_t now = moat_os_clock();
    if (patience->deadline == 0)
        patience->deadline = now + patience->timeout_ns;
    return now < patience->deadline;
}

/* The half of a word that sleepers watch. */
static const void *low_half(const _Atomic uint64_t *word) {
    const union {
        uint32_t value;
        unsigned char first_byte;
    } one = {.value = 1};
    const uint32_t *halves = (const void *)word;
    return one.first_byte ? &halves[0] : &halves[1];
}

/* How many of that process's threads wait; those of another have not come along over a fork. */
static uint32_t count_of(uint64_t waiting, uint32_t process) {
    return waiting >> 32 == process ? (uint32_t)waiting : 0;
}

uint32_t moat_waits_enter(struct moat_waits *waits) {
    uint32_t process = moat_os_process();
    /* relaxed: what enters is found by who drains through what it does next; who waits in vain and
     * joins after the waits were called off was told not to begin. */
    uint64_t before = atomic_load_explicit(&waits->waiting, memory_order_relaxed);
    uint64_t after;
    do
        after = (uint64_t)process << 32 | (count_of(before, process) + 1);
    /* relaxed: as above. */
    while (!atomic_compare_exchange_weak_explicit(&waits->waiting, &before, after,
                                                  memory_order_relaxed, memory_order_relaxed));
    return process;
}

void moat_waits_leave(struct moat_waits *waits, uint32_t process) {
    /* A handler that interrupted the wait may have forked: the child was never counted. */
    if (process != moat_os_process())
        return;
    /* R(queue) */
    uint64_t before = atomic_fetch_sub_explicit(&waits->waiting, 1, memory_order_release);
    if (count_of(before, process) == 1)
        moat_os_wake(low_half(&waits->waiting));
}

static void join(struct moat_queue *queue) {
    struct moat_waits *waits = queue->patience->waits;
    if (!queue->joined && waits)
        queue->joined = moat_waits_enter(waits);
}

enum moat_status moat_queue_wait(struct moat_queue *queue, const _Atomic uint64_t *life,
                                 uint32_t seen) {
    struct moat_patience *patience = queue->patience;

    join(queue);
    /* After the bit in `seen` was set: a nudge later than that changes the word and ends the sleep
     * below, and of an earlier one that step has seen why it came. */
    if (cancels_of(patience->waits) != patience->cancels)
        return MOAT_ABANDONED;
    if (!moat_patience_left(patience))
        return MOAT_TIMEOUT;
    (void)moat_os_wait(low_half(life), seen, patience->deadline);
    return MOAT_OK;
}

enum moat_status moat_queue_leave(struct moat_queue *queue, enum moat_status status) {
    if (queue->joined)
        moat_waits_leave(queue->patience->waits, queue->joined);
    queue->joined = 0;
    return status;
}

void moat_life_wake(const _Atomic uint64_t *life) {
    moat_os_wake(low_half(life));
}

void moat_waits_cancel(struct moat_waits *waits) {
    /* R(cancel) */
    atomic_fetch_add_explicit(&waits->cancels, 1, memory_order_release);
}

void moat_waits_drain(struct moat_waits *waits) {
    uint32_t process = moat_os_process();
    uint32_t count;
    /* A(queue) */
    while ((count = count_of(atomic_load_explicit(&waits->waiting, memory_order_acquire),
                             process)) != 0)
        (void)moat_os_wait(low_half(&waits->waiting), count, UINT64_MAX);
}
