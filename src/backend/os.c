/* SPDX-License-Identifier: MIT */
/*
 * os: pages straight from the kernel, of the usual size or large ones that the machine's owner has
 * set aside.
 *
 * They come put away, and lose their content when dropped, so there is nothing to poison or check.
 * Large pages stay in memory while they are mapped, and have access rights and content as a whole.
 */
#include "os/os.h"
#include "backend/backend.h"
#include "base/align.h"

#include <errno.h>

/* Other threads may map where space was found free. */
#define TRIES 16

/* In the middle of free space, so that whoever asks for it can put margins on either side. */
static int supply_large(size_t size, size_t alignment, void **base) {
    size_t around;
    int error = EEXIST;

    if (alignment < MOAT_OS_LARGE_PAGE)
        alignment = MOAT_OS_LARGE_PAGE;
    if (!moat_add_checked(size, 2 * alignment, &around))
        return ENOMEM;
    for (unsigned i = 0; i < TRIES && error == EEXIST; i++) {
        void *room;
        error = moat_os_reserve(around, alignment, &room);
        if (!error)
            error = moat_os_unreserve(room, around);
        if (error)
            return error;
        *base = (char *)room + alignment;
        error = moat_os_reserve_large(*base, size);
    }
    return error == EEXIST ? ENOMEM : error;
}

static int empty(void *start, size_t size, uint8_t poison) {
    (void)poison;
    return moat_os_discard(start, size);
}

static bool refill(void *start, size_t size, uint8_t poison, struct moat_damage *damage) {
    (void)start;
    (void)size;
    (void)poison;
    (void)damage;
    return false;
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

const struct moat_backend_ops *moat_backend_large(void) {
    static const struct moat_backend_ops ops = {
        .name = "large",
        .supply = supply_large,
        .take_back = moat_os_unreserve,
        .empty = empty,
        .refill = refill,
        .accessible = false,
    };
    return &ops;
}
