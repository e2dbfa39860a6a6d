/* SPDX-License-Identifier: MIT */
/*
 * The kernel as a backend: put away when supplied, zero again when emptied.
 */
#include "backend/backend.h"
#include "os/os.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <string.h>

enum { PAGE = MOAT_PAGE_BYTES, BLOCK = 65536 };

Test(backend_os, supplies_inaccessible_aligned_blocks) {
    const struct moat_backend_ops *os = moat_backend_os();
    void *base;
    cr_assert_str_eq(os->name, "os");
    cr_assert_not(os->accessible);
    cr_assert_eq(os->supply(3 * BLOCK, BLOCK, &base), 0);
    cr_assert_eq((uintptr_t)base % BLOCK, 0);
    cr_assert_not(touch_reads(base));
    cr_assert_eq(os->take_back(base, 3 * BLOCK), 0);
    struct moat_os_mapping mapping;
    cr_assert_eq(moat_os_query((uintptr_t)base, &mapping), 0);
    cr_assert_not(mapping.mapped);
}

Test(backend_os, emptied_pages_are_zero_whatever_their_rights) {
    const struct moat_backend_ops *os = moat_backend_os();
    void *base;
    cr_assert_eq(os->supply(BLOCK, BLOCK, &base), 0);
    cr_assert_eq(moat_os_protect(base, BLOCK, MOAT_OS_READ | MOAT_OS_WRITE), 0);
    memset(base, 'x', BLOCK);
    cr_assert_eq(os->empty(base, PAGE, 0xDB), 0);
    cr_assert(touch_all_bytes(base, PAGE, 0));
    cr_assert(touch_all_bytes((char *)base + PAGE, BLOCK - PAGE, 'x'));
    cr_assert_eq(moat_os_protect(base, BLOCK, MOAT_OS_NONE), 0);
    cr_assert_eq(os->empty(base, BLOCK, 0xDB), 0);
    cr_assert_eq(moat_os_protect(base, BLOCK, MOAT_OS_READ | MOAT_OS_WRITE), 0);
    struct moat_damage damage = {0};
    cr_assert_not(os->refill(base, BLOCK, 0xDB, &damage));
    cr_assert_eq(damage.pieces, 0);
    cr_assert(touch_all_bytes(base, BLOCK, 0));
}

Test(backend_os, refuses_what_cannot_be_had) {
    void *base = &base;
    cr_assert_neq(moat_backend_os()->supply((size_t)1 << 50, BLOCK, &base), 0);
    cr_assert_eq(base, &base);
}
