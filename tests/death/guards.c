/* SPDX-License-Identifier: MIT */
/*
 * guards: the byte before a region and the byte behind its last page kill, for every size and rung,
 * also when there are neighbours; its first and last byte do not.
 */
#include "support/expect_death.h"

/* The middle one of some of a size, so that it has neighbours on both sides. */
static unsigned char *middle(const struct scene *scene) {
    unsigned char *base = NULL;
    unsigned count = scene->size > BLOCK ? 3 : 9;
    for (unsigned i = 0; i < count; i++) {
        unsigned char *next = must_reserve(scene->manager, scene->size, true);
        if (i == count / 2)
            base = next;
    }
    return base;
}

static unsigned char *before(const struct scene *scene) {
    return middle(scene) - 1;
}

static unsigned char *page_before(const struct scene *scene) {
    return middle(scene) - PAGE;
}

static unsigned char *behind(const struct scene *scene) {
    return middle(scene) + scene->size;
}

static unsigned char *page_behind(const struct scene *scene) {
    return middle(scene) + scene->size + PAGE - 1;
}

static unsigned char *last(const struct scene *scene) {
    return middle(scene) + scene->size - 1;
}

int main(void) {
    static const size_t sizes[] = {
        PAGE,        3 * PAGE,          GRANULE - PAGE, GRANULE,      GRANULE + PAGE,
        4 * GRANULE, BLOCK - PAGE,      BLOCK,          BLOCK + PAGE, 7 * BLOCK + GRANULE,
        32 * BLOCK,  (size_t)257 << 20,
    };
    static unsigned char *(*const outside[])(const struct scene *) = {before, page_before, behind,
                                                                      page_behind};
    for (unsigned kind = 0; kind < KINDS; kind++)
        for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            /* mimalloc's pages are all written, and this much of them is the kernel's anyway. */
            if (kind == 2 && sizes[i] > 8 * BLOCK)
                continue;
            for (unsigned j = 0; j < 4; j++) {
                expect_death(kinds[kind], outside[j], sizes[i], TOUCH_READ);
                expect_death(kinds[kind], outside[j], sizes[i], TOUCH_WRITE);
            }
            expect_life(kinds[kind], middle, sizes[i], TOUCH_READ);
            expect_life(kinds[kind], middle, sizes[i], TOUCH_WRITE);
            expect_life(kinds[kind], last, sizes[i], TOUCH_WRITE);
        }
    return end_expectations();
}
