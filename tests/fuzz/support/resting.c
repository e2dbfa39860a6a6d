/* SPDX-License-Identifier: MIT */
/* resting: the last releases of each owner, newest last. */
#define _GNU_SOURCE
#include "resting.h"

#include "verify.h"

#include <sched.h>
#include <string.h>

enum { REMEMBERED = 8 };

/* More than lies around a region: guards, and the rest of a block on either side. */
#define AROUND ((uint64_t)8 << 20)

struct rest {
    uintptr_t base;
    uintptr_t end;
    bool open; /* its addresses were named since, or before it came: when it goes is not known */
};

static struct {
    struct rest list[REMEMBERED];
    size_t count; /* that rest for certain */
} lately[MODEL_OWNERS];

static bool is_kept;

bool resting_begin(void) {
    cpu_set_t one;
    const int processor = sched_getcpu();

    resting_forget();
    if (!is_kept && processor >= 0) {
        CPU_ZERO(&one);
        CPU_SET((size_t)processor, &one);
        is_kept = sched_setaffinity(0, sizeof(one), &one) == 0;
    }
    return is_kept;
}

static bool overlaps(const struct rest *rest, uintptr_t base, size_t size) {
    return base < rest->end && rest->base < base + size;
}

/* How many of the last ones rest, by their number and their bytes. */
static void cut(unsigned owner, const struct moat_options *options) {
    struct rest *list = lately[owner].list;
    size_t count = 0, known = lately[owner].count;
    uint64_t bytes = 0;

    while (count < known && count < options->quarantine_regions) {
        const struct rest *rest = &list[known - 1 - count];
        bytes += rest->end - rest->base + AROUND;
        if (bytes > options->quarantine_bytes)
            break;
        count++;
    }
    memmove(list, list + (known - count), count * sizeof(*list));
    lately[owner].count = count;
}

void resting_add(unsigned owner, const struct moat_options *options, uintptr_t base, size_t size) {
    struct rest fresh = {.base = base, .end = base + size};

    if (!is_kept || options->backend == MOAT_BACKEND_MIMALLOC)
        return;
    for (unsigned any = 0; any < MODEL_OWNERS; any++)
        for (size_t i = 0; i < lately[any].count; i++)
            fresh.open |= overlaps(&lately[any].list[i], base, size);
    if (lately[owner].count == REMEMBERED) {
        memmove(lately[owner].list, lately[owner].list + 1, (REMEMBERED - 1) * sizeof(fresh));
        lately[owner].count--;
    }
    lately[owner].list[lately[owner].count++] = fresh;
    verify_note("%u released %#lx size %#zx: it rests%s", owner, (unsigned long)base, size,
                fresh.open ? ", perhaps" : "");
    cut(owner, options);
}

void resting_named(uintptr_t base, size_t size) {
    uintptr_t start = model_round_down(base, MODEL_GRANULE);
    for (unsigned owner = 0; owner < MODEL_OWNERS; owner++)
        for (size_t i = 0; i < lately[owner].count; i++)
            lately[owner].list[i].open |=
                overlaps(&lately[owner].list[i], start, base + size - start);
}

void resting_forget(void) {
    memset(lately, 0, sizeof(lately));
}

void resting_check(uintptr_t base, size_t size) {
    for (unsigned owner = 0; owner < MODEL_OWNERS; owner++)
        for (size_t i = 0; i < lately[owner].count; i++)
            if (!lately[owner].list[i].open && overlaps(&lately[owner].list[i], base, size))
                verify_fail("reserved at %#lx, where what manager %u released rests: %zu releases "
                            "ago",
                            (unsigned long)base, owner, lately[owner].count - i);
}
