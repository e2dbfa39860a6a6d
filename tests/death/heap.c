/* SPDX-License-Identifier: MIT */
/*
 * heap: what touching past the end of a large block does, or touching it after its free; and that a
 * span which was given back does the same.
 */
#include "support/expect_death.h"

#include <moat/heap.h>

#include <string.h>

static struct moat_heap *heap;

static unsigned char *block_of(const struct scene *scene) {
    void *block = NULL;
    must(moat_heap_create(scene->manager, 0, &heap) == MOAT_OK, "create");
    must(moat_heap_alloc(heap, scene->size, &block) == MOAT_OK, "alloc");
    memset(block, 1, scene->size);
    return block;
}

static unsigned char *room_end(const struct scene *scene) {
    return block_of(scene) + (scene->size + 15) / 16 * 16;
}

static unsigned char *last(const struct scene *scene) {
    return room_end(scene) - 1;
}

static unsigned char *after_free(const struct scene *scene) {
    unsigned char *block = block_of(scene);
    must(moat_heap_free(heap, block) == MOAT_OK, "free");
    return block + scene->size / 2;
}

/* A refused free leaves the block as it was. */
static unsigned char *after_refusal(const struct scene *scene) {
    unsigned char *block = block_of(scene);
    must(moat_heap_free(heap, block + 16) == MOAT_NOT_OURS, "free inside");
    return block + scene->size / 2;
}

static unsigned char *after_destroy(const struct scene *scene) {
    unsigned char *block = block_of(scene);
    moat_heap_destroy(heap);
    return block;
}

/* Small blocks: more spans than are kept, so that the first are given back. */
static unsigned char *after_all_frees(const struct scene *scene) {
    enum { COUNT = 2000 };
    static void *blocks[COUNT];
    block_of(scene);
    for (unsigned i = 0; i < COUNT; i++)
        must(moat_heap_alloc(heap, 16384, &blocks[i]) == MOAT_OK, "alloc");
    for (unsigned i = COUNT; i-- > 0;)
        must(moat_heap_free(heap, blocks[i]) == MOAT_OK, "free");
    return blocks[1000];
}

int main(void) {
    static const size_t sizes[] = {32769, 65536, 100000, 1048576, 5000000};
    for (unsigned kind = 0; kind < 2; kind++) { /* mimalloc has no traps to offer */
        for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            expect_death(kinds[kind], room_end, sizes[i], TOUCH_READ);
            expect_death(kinds[kind], room_end, sizes[i], TOUCH_WRITE);
            expect_life(kinds[kind], last, sizes[i], TOUCH_WRITE);
            expect_death(kinds[kind], after_free, sizes[i], TOUCH_READ);
            expect_death(kinds[kind], after_free, sizes[i], TOUCH_WRITE);
            expect_life(kinds[kind], after_refusal, sizes[i], TOUCH_WRITE);
            expect_death(kinds[kind], after_destroy, sizes[i], TOUCH_READ);
        }
        expect_death(kinds[kind], after_all_frees, 16, TOUCH_READ);
        expect_death(kinds[kind], after_destroy, 16, TOUCH_READ);
        expect_life(kinds[kind], after_refusal, 64, TOUCH_WRITE);
    }
    return end_expectations();
}
