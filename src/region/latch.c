/* SPDX-License-Identifier: MIT */
/* latch: a flag for the process, one for the thread that set it, and what it saw. */
#include "region/latch.h"

#include "base/error_text.h"
#include "os/os.h"

_Atomic bool moat_latch_state;

static _Atomic bool claimed;
static _Atomic bool told;
static struct moat_latch_facts facts;

static _Thread_local bool found_here;

static void latch(const struct moat_latch_facts *found) {
    /* relaxed: only who is first writes the facts. */
    if (atomic_exchange_explicit(&claimed, true, memory_order_relaxed))
        return;
    facts = *found;
    facts.thread = moat_os_thread();
    found_here = true;
    moat_error_set("corruption at %#lx: %s; Moat does nothing more in this process",
                   (unsigned long)found->address, found->what);
    /* R(facts) */
    atomic_store_explicit(&moat_latch_state, true, memory_order_release);
}

void moat_latch(const char *what, uintptr_t address) {
    const struct moat_latch_facts found = {.what = what, .address = address};
    latch(&found);
}

void moat_latch_record(const char *what, const struct moat_region_ref *ref, uint64_t expected,
                       uint64_t found_instead) {
    const struct moat_latch_facts found = {
        .what = what,
        .address = ref->base,
        .compared = true,
        .expected = expected,
        .found = found_instead,
        .recorded = true,
        .record = *ref,
    };
    latch(&found);
}

void moat_latch_page(const char *what, const struct moat_region_ref *ref, uintptr_t page,
                     uint8_t state) {
    const struct moat_latch_facts found = {
        .what = what,
        .address = page,
        .paged = true,
        .state = state,
        .recorded = true,
        .record = *ref,
    };
    latch(&found);
}

bool moat_latch_taken(void) {
    bool taken = found_here;
    found_here = false;
    return taken;
}

enum moat_status moat_latch_status(void) {
    return found_here ? MOAT_CORRUPT : MOAT_UNAVAILABLE;
}

const struct moat_latch_facts *moat_latch_take_facts(void) {
    /* A(facts) */
    if (!atomic_load_explicit(&moat_latch_state, memory_order_acquire))
        return NULL;
    /* relaxed: a flag that stands for itself. */
    return atomic_exchange_explicit(&told, true, memory_order_relaxed) ? NULL : &facts;
}
