/* SPDX-License-Identifier: MIT */
/*
 * The mimalloc backend where there is no mimalloc, and the os backend where the kernel refuses.
 */
#include "backend/backend.h"
#include "support/inject.h"

#include <moat/moat.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

enum { BLOCK = 65536 };

/* Also the second time, when it would load: half of a process must not run on another backend. */
Test(backend_load, a_library_that_cannot_be_loaded_stays_away) {
    inject_fail(INJECT_DLOPEN, 1, ENOENT);
    cr_assert_null(moat_backend_mimalloc());
    cr_assert_not_null(strstr(moat_last_error_text(), "mimalloc"), "%s", moat_last_error_text());
    cr_assert_null(moat_backend_mimalloc());
    cr_assert_not_null(strstr(moat_last_error_text(), "mimalloc"));
    cr_assert_eq(inject_count(INJECT_DLOPEN), 1);
}

Test(backend_load, the_library_is_loaded_once) {
    inject_fail(INJECT_DLOPEN, 0, 0);
    const struct moat_backend_ops *ops = moat_backend_mimalloc();
    cr_assert_eq(moat_backend_mimalloc(), ops);
    cr_assert_eq(inject_count(INJECT_DLOPEN), 1);
}

Test(backend_load, what_the_kernel_refuses_comes_back_from_the_os_backend) {
    const struct moat_backend_ops *os = moat_backend_os();
    void *base = &base;
    inject_fail(INJECT_MMAP, 1, ENOMEM);
    cr_assert_eq(os->supply(BLOCK, BLOCK, &base), ENOMEM);
    cr_assert_eq(base, &base);
    cr_assert_eq(os->supply(BLOCK, BLOCK, &base), 0);
    inject_fail(INJECT_MADVISE, 1, ENOMEM);
    cr_assert_eq(os->empty(base, BLOCK, 0xDB), ENOMEM);
    inject_fail(INJECT_MUNMAP, 1, ENOMEM);
    cr_assert_eq(os->take_back(base, BLOCK), ENOMEM);
    cr_assert_eq(os->take_back(base, BLOCK), 0);
}
