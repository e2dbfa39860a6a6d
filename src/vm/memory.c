/* SPDX-License-Identifier: MIT */
/*
 * memory: how full is memory, answered without reading files each time.
 *
 * The last reading is kept in one of a few slots; `newest` says which. A slot is written by whoever
 * makes its sequence odd, and never the one that readers are sent to, so readers hardly ever meet a
 * writer; one that does sees the sequence change and looks again. Nobody waits: a thread that stops
 * while it reads or writes, or is lost in a fork, costs one slot at most, and its claim to be the
 * one that reads lapses. Without a slot every call reads for itself.
 *
 * Edges. R() marks the releasing end, A() the acquiring end.
 *
 *   newest   a reading is written, then named the newest -> who goes there finds it written
 *   begin    a writer makes the sequence odd, then writes -> who sees a word of it sees it odd
 *   end      a writer has written, then makes it even -> who sees it even sees all words
 */
#include "vm/memory.h"

#include "base/error_text.h"
#include "os/os.h"
#include "vm/quota.h"

#include <stdatomic.h>

enum { SLOTS = 4, TRIES = 4 };

/* How long others leave the reading to one thread. */
#define CLAIM_NS MOAT_MEMORY_STALE_NS

enum { LIMIT, AVAILABLE, REST, MOMENT, WORDS };

struct slot {
    _Alignas(64) _Atomic uint64_t sequence; /* odd: being written */
    _Atomic uint64_t words[WORDS];
};

static struct slot slots[SLOTS];
static _Atomic uint64_t newest;       /* the slot, counted from 1; 0: none yet */
static _Atomic uint64_t claimed_till; /* moment */

/* A reading and when it was begun. False: there is none, or it is being overwritten. */
static bool take(struct moat_load *load, uint64_t *moment) {
    uint64_t words[WORDS];

    for (unsigned attempt = 0; attempt < TRIES; attempt++) {
        /* A(newest) */
        uint64_t which = atomic_load_explicit(&newest, memory_order_acquire);
        if (which == 0)
            return false;
        struct slot *slot = &slots[which - 1];
        /* A(end) */
        uint64_t before = atomic_load_explicit(&slot->sequence, memory_order_acquire);
        for (unsigned i = 0; i < WORDS; i++)
            /* A(begin): the sequence is read again behind every word. */
            words[i] = atomic_load_explicit(&slot->words[i], memory_order_acquire);
        /* relaxed: behind the words, by A(begin). */
        if (atomic_load_explicit(&slot->sequence, memory_order_relaxed) != before || before % 2)
            continue;
        *moment = words[MOMENT];
        *load = (struct moat_load){
            .limit = words[LIMIT],
            .available = words[AVAILABLE],
            .percent = words[REST] & 0xFF,
            .source = (enum moat_memory_source)(words[REST] >> 8 & 0xFF),
            .headroom = (uint32_t)(words[REST] >> 32),
        };
        return true;
    }
    return false;
}

static void keep(const struct moat_load *load, uint64_t moment) {
    const uint64_t words[WORDS] = {
        [LIMIT] = load->limit,
        [AVAILABLE] = load->available,
        [REST] = load->percent | (uint64_t)load->source << 8 | (uint64_t)load->headroom << 32,
        [MOMENT] = moment,
    };
    /* relaxed: a slot to leave alone for its readers' sake; nothing breaks if it is another. */
    uint64_t readers = atomic_load_explicit(&newest, memory_order_relaxed);

    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *slot = &slots[i];
        /* relaxed: the exchange below decides. */
        uint64_t sequence = atomic_load_explicit(&slot->sequence, memory_order_relaxed);
        if (i + 1 == readers || sequence % 2)
            continue;
        /* A(end): the words of the writer before are older than these. */
        if (!atomic_compare_exchange_strong_explicit(&slot->sequence, &sequence, sequence + 1,
                                                     memory_order_acquire, memory_order_relaxed))
            continue;
        for (unsigned word = 0; word < WORDS; word++)
            /* R(begin) */
            atomic_store_explicit(&slot->words[word], words[word], memory_order_release);
        /* R(end) */
        atomic_store_explicit(&slot->sequence, sequence + 2, memory_order_release);
        /* R(newest) */
        atomic_store_explicit(&newest, i + 1, memory_order_release);
        return;
    }
}

/* To be the one that reads. A thread that never came back from it is forgotten in time. */
static bool claim(uint64_t now) {
    /* relaxed: decides who reads, and nothing that is read. */
    uint64_t till = atomic_load_explicit(&claimed_till, memory_order_relaxed);
    /* relaxed: as above. */
    return till <= now &&
           atomic_compare_exchange_strong_explicit(&claimed_till, &till, now + CLAIM_NS,
                                                   memory_order_relaxed, memory_order_relaxed);
}

static void unclaim(void) {
    /* relaxed: as in claim. */
    atomic_store_explicit(&claimed_till, 0, memory_order_relaxed);
}

/* The limits of the system, young enough. */
static bool system_load(bool now, struct moat_load *load, uint64_t *age_ns) {
    uint64_t moment = 0;
    uint64_t clock = moat_os_clock();
    bool claimed = false;

    if (!now && take(load, &moment)) {
        *age_ns = clock > moment ? clock - moment : 0;
        if (*age_ns <= MOAT_MEMORY_FRESH_NS)
            return true;
        claimed = claim(clock);
        if (!claimed && *age_ns <= MOAT_MEMORY_STALE_NS)
            return true;
    }
    bool known = moat_os_memory(load) == 0;
    if (known)
        keep(load, clock);
    if (claimed)
        unclaim();
    *age_ns = 0;
    return known;
}

enum moat_status moat_memory_figures(const struct moat_manager *manager, bool now,
                                     struct moat_load *load, uint64_t *age_ns) {
    uint64_t limit, used;

    if (!system_load(now, load, age_ns)) {
        moat_load_init(load);
        *age_ns = 0;
    }
    if (manager && moat_quota_level(manager, &limit, &used))
        moat_load_add(load, MOAT_MEMORY_QUOTA, limit, used);
    if (moat_load_known(load))
        return MOAT_OK;
    moat_error_set("memory load: neither /proc/meminfo nor sysinfo(2) can be read here");
    return MOAT_NOT_SUPPORTED;
}

enum moat_status moat_memory_load_read(const struct moat_manager *manager,
                                       struct moat_memory_load *load) {
    struct moat_load figures;
    uint64_t age_ns;

    if (!load) {
        moat_error_set("memory load: load is NULL");
        return MOAT_NO_ACCESS;
    }
    *load = (struct moat_memory_load){0};
    enum moat_status status = moat_memory_figures(manager, false, &figures, &age_ns);
    if (status)
        return status;
    *load = (struct moat_memory_load){
        .available_bytes = figures.available,
        .limit_bytes = figures.limit,
        .percent = figures.percent,
        .age_ms = (uint32_t)(age_ns / MOAT_OS_MS),
        .source = figures.source,
    };
    return MOAT_OK;
}
