/* SPDX-License-Identifier: MIT */
#include "records.h"

#include "os/os.h"
#include "region/wait.h"

#include <criterion/criterion.h>
#include <stdatomic.h>

struct moat_patience patience(uint64_t ms) {
    return (struct moat_patience){.timeout_ns = ms * MS};
}

struct moat_region_ref published(uintptr_t base, size_t size) {
    static struct moat_space arena = {.arena = true};
    struct moat_place place = {.space = &arena, .base = base, .size = size};
    struct moat_region_ref ref;
    struct moat_region_terms terms = {.protection = MOAT_PAGE_READWRITE};
    cr_assert_eq(moat_region_publish(&place, &terms), MOAT_OK);
    cr_assert(moat_region_find_base(base, &ref));
    return ref;
}

void retire(const struct moat_region_ref *ref) {
    struct moat_patience none = patience(0);
    cr_assert_eq(moat_region_close(ref, &none), MOAT_OK);
    moat_region_retire(ref);
}

void pause_ms(uint64_t ms) {
    (void)moat_os_wait(&(uint32_t){0}, 0, moat_os_clock() + ms * MS);
}

void await_waiting(const struct moat_waits *waits, uint32_t count) {
    while ((uint32_t)atomic_load(&waits->waiting) != count)
        pause_ms(1);
}
