/* SPDX-License-Identifier: MIT */
/*
 * os: pages straight from the kernel.
 *
 * They come put away, and lose their content when dropped, so there is nothing to poison or check.
 */
#include "os/os.h"
#include "backend/backend.h"

static int empty(void *start, size_t size, uint8_t poison) {
    (void)poison;
    return moat_os_discard(start, size);
}

static size_t refill(void *start, size_t size, uint8_t poison) {
    (void)start;
    (void)size;
    (void)poison;
    return SIZE_MAX;
}

const struct moat_backend_ops *moat_backend_os(void) {
    static const struct moat_backend_ops ops = {
        .name = "os",
        .supply = moat_os_reserve,
        .take_back = moat_os_unreserve,
        .empty = empty,
        .refill = refill,
        .accessible = false,
    };
    return &ops;
}
