/* SPDX-License-Identifier: MIT */
/* deny: a counter a kind, and a hash that decides. */
#include "vm/deny.h"

#include "base/error_text.h"
#include "os/os.h"

#define MILLION UINT64_C(1000000)

static const struct {
    const char *name;        /* of the option */
    const char *call;        /* one call of the kind */
    enum moat_status status; /* what it ends with */
} kinds[MOAT_DENY_KINDS] = {
    [MOAT_DENY_RESERVE] = {"deny_reserve", "reserve", MOAT_NO_MEMORY},
    [MOAT_DENY_COMMIT] = {"deny_commit", "commit", MOAT_COMMIT_LIMIT},
    [MOAT_DENY_PROTECT] = {"deny_protect", "protect", MOAT_NO_MEMORY},
    [MOAT_DENY_HEAP] = {"deny_heap", "heap alloc", MOAT_NO_MEMORY},
};

void moat_deny_begin(struct moat_manager *manager) {
    uint32_t grace = moat_manager_options(manager)->deny_grace_ms;
    manager->denials.grace_end = grace == 0 ? 0 : moat_os_clock() + grace * MOAT_OS_MS;
}

/* The finisher of splitmix64: every bit of the result depends on every bit of the input. */
static uint64_t scramble(uint64_t bits) {
    bits = (bits ^ bits >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    bits = (bits ^ bits >> 27) * UINT64_C(0x94D049BB133111EB);
    return bits ^ bits >> 31;
}

bool moat_deny_chosen(uint32_t seed, enum moat_deny_kind kind, uint64_t number, uint32_t share) {
    uint64_t stream = scramble((uint64_t)seed << 8 | (uint64_t)kind);
    uint64_t drawn = scramble(stream + number * UINT64_C(0x9E3779B97F4A7C15)) >> 32;
    return drawn * MILLION >> 32 < share;
}

enum moat_status moat_deny_count(struct moat_manager *manager, enum moat_deny_kind kind,
                                 const char *what, uintptr_t address) {
    const struct moat_options *options = moat_manager_options(manager);
    struct moat_denials *denials = &manager->denials;
    char place[32] = "";
    uint32_t share = moat_deny_share(options, kind);
    /* relaxed: only the number matters. */
    uint64_t number = atomic_fetch_add_explicit(&denials->calls[kind], 1, memory_order_relaxed) + 1;

    if (!moat_deny_chosen(options->deny_seed, kind, number, share))
        return MOAT_OK;
    if (denials->grace_end != 0 && moat_os_clock() < denials->grace_end)
        return MOAT_OK;
    moat_manager_count(manager, MOAT_COUNT_DENIED, 1);
    if (address != 0)
        (void)moat_format(place, sizeof(place), " at %#lx", (unsigned long)address);
    moat_error_set("%s%s: denied by %s=%u, a simulation: %s %lu since the manager was made, "
                   "seed %u",
                   what, place, kinds[kind].name, share, kinds[kind].call, (unsigned long)number,
                   options->deny_seed);
    return kinds[kind].status;
}
