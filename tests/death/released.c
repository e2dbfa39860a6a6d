/* SPDX-License-Identifier: MIT */
/*
 * released: a region that is gone kills, all of it, also when its manager went with it. The
 * mimalloc backend is not among the kinds: what it takes back is its own, and stays accessible.
 */
#include "support/expect_death.h"

#include <string.h>

static unsigned char *filled(const struct scene *scene) {
    unsigned char *base = must_reserve(scene->manager, scene->size, true);
    memset(base, 'r', scene->size);
    return base;
}

static unsigned char *first_byte(const struct scene *scene) {
    unsigned char *base = filled(scene);
    must(moat_release(scene->manager, base) == MOAT_OK, "release");
    return base;
}

static unsigned char *last_byte(const struct scene *scene) {
    return first_byte(scene) + scene->size - 1;
}

static unsigned char *odd_protection(const struct scene *scene) {
    unsigned char *base = filled(scene);
    uint32_t old;
    must(moat_protect(scene->manager, base, PAGE, MOAT_PAGE_EXECUTE_READ, &old) == MOAT_OK,
         "protect");
    must(moat_release(scene->manager, base) == MOAT_OK, "release");
    return base;
}

static unsigned char *never_committed(const struct scene *scene) {
    unsigned char *base = must_reserve(scene->manager, scene->size, false);
    must(moat_release(scene->manager, base) == MOAT_OK, "release");
    return base;
}

static unsigned char *with_its_manager(const struct scene *scene) {
    unsigned char *base = filled(scene);
    moat_manager_destroy(scene->manager);
    return base;
}

/* Others come and go; the place is still not accessible while nobody has it again. */
static unsigned char *among_others(const struct scene *scene) {
    unsigned char *gone = first_byte(scene);
    for (unsigned i = 0; i < 20; i++)
        *must_reserve(scene->manager, scene->size, true) = 1;
    return gone;
}

static unsigned char *neighbour(const struct scene *scene) {
    unsigned char *base = filled(scene);
    unsigned char *other = filled(scene);
    must(moat_release(scene->manager, base) == MOAT_OK, "release");
    return other;
}

static unsigned char *had_again(const struct scene *scene) {
    void *again;
    unsigned char *base = first_byte(scene);
    must(moat_reserve(scene->manager, base, scene->size, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT,
                      &again) == MOAT_OK,
         "the same place");
    return again;
}

#define LARGE ((size_t)256 << 20)

int main(void) {
    static const size_t sizes[] = {
        PAGE, GRANULE, 20 * PAGE, BLOCK - PAGE, BLOCK, 3 * BLOCK + GRANULE, (size_t)257 << 20};
    static unsigned char *(*const deadly[])(const struct scene *) = {
        first_byte, last_byte, odd_protection, never_committed, with_its_manager, among_others};
    for (unsigned kind = 0; kind < 2; kind++)
        for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            size_t size = sizes[i];
            for (unsigned j = 0; j < sizeof deadly / sizeof deadly[0]; j++) {
                /* Too large for an arena: a lot to fill, and free to everybody afterwards. */
                if (size > LARGE && deadly[j] != never_committed)
                    continue;
                expect_death(kinds[kind], deadly[j], size, TOUCH_READ);
                expect_death(kinds[kind], deadly[j], size, TOUCH_WRITE);
            }
            if (size > LARGE)
                continue;
            expect_life(kinds[kind], filled, size, TOUCH_WRITE);
            expect_life(kinds[kind], neighbour, size, TOUCH_WRITE);
            expect_life(kinds[kind], had_again, size, TOUCH_WRITE);
        }
    return end_expectations();
}
