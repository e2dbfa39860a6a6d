/* SPDX-License-Identifier: MIT */
/*
 * code: what touching a block of a code heap does, in either view and at each step of its life. The
 * execute view is never written, the write view never executed, and what was freed is neither.
 */
#include "support/expect_death.h"

#include <moat/code.h>

#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
static const unsigned char function[] = {0xC3};
#elif defined(__aarch64__)
static const unsigned char function[] = {0xC0, 0x03, 0x5F, 0xD6};
#else
static const unsigned char function[] = {0};
#define UNKNOWN_MACHINE 1
#endif

static struct moat_code_heap *heap;
static struct moat_code_block block;

static void allocate(const struct scene *scene) {
    must(moat_code_heap_create(scene->manager, 4 * scene->size, NULL, &heap) == MOAT_OK, "create");
    must(moat_code_alloc(heap, scene->size, &block) == MOAT_OK, "alloc");
    for (size_t at = 0; at < block.size; at += sizeof function)
        memcpy((unsigned char *)block.write + at, function, sizeof function);
}

static void publish(const struct scene *scene) {
    allocate(scene);
    must(moat_code_publish(heap, block.execute) == MOAT_OK, "publish");
}

static unsigned char *execute_view(void) {
    return (unsigned char *)block.execute + block.size / 2;
}

static unsigned char *write_view(void) {
    return (unsigned char *)block.write + block.size / 2;
}

static unsigned char *unpublished(const struct scene *scene) {
    allocate(scene);
    return execute_view();
}

static unsigned char *published(const struct scene *scene) {
    publish(scene);
    return execute_view();
}

static unsigned char *written(const struct scene *scene) {
    publish(scene);
    return write_view();
}

static unsigned char *sealed(const struct scene *scene) {
    publish(scene);
    must(moat_code_seal(heap, block.execute) == MOAT_OK, "seal");
    return write_view();
}

static unsigned char *sealed_execute(const struct scene *scene) {
    sealed(scene);
    return execute_view();
}

static unsigned char *opened(const struct scene *scene) {
    sealed(scene);
    must(moat_code_open(heap, block.execute, NULL) == MOAT_OK, "open");
    return write_view();
}

static void release(const struct scene *scene) {
    publish(scene);
    must(moat_code_free(heap, block.execute) == MOAT_OK, "free");
}

static unsigned char *freed_execute(const struct scene *scene) {
    release(scene);
    return execute_view();
}

static unsigned char *freed_write(const struct scene *scene) {
    release(scene);
    return write_view();
}

static unsigned char *destroyed_execute(const struct scene *scene) {
    publish(scene);
    moat_code_heap_destroy(heap);
    return execute_view();
}

static unsigned char *destroyed_write(const struct scene *scene) {
    publish(scene);
    moat_code_heap_destroy(heap);
    return write_view();
}

/* The first block of a heap lies at its begin. */
static unsigned char *before_execute(const struct scene *scene) {
    publish(scene);
    return (unsigned char *)block.execute - 1;
}

static unsigned char *before_write(const struct scene *scene) {
    publish(scene);
    return (unsigned char *)block.write - 1;
}

/* One block as large as the heap. */
static void fill_heap(const struct scene *scene) {
    size_t whole = (4 * scene->size + GRANULE - 1) / GRANULE * GRANULE;
    publish(scene);
    must(moat_code_free(heap, block.execute) == MOAT_OK, "free");
    must(moat_code_alloc(heap, whole, &block) == MOAT_OK, "alloc");
    must(moat_code_publish(heap, block.execute) == MOAT_OK, "publish");
}

static unsigned char *behind_execute(const struct scene *scene) {
    fill_heap(scene);
    return (unsigned char *)block.execute + block.size;
}

static unsigned char *behind_write(const struct scene *scene) {
    fill_heap(scene);
    return (unsigned char *)block.write + block.size;
}

/* A refused free leaves the block as it was. */
static unsigned char *after_refusal(const struct scene *scene) {
    publish(scene);
    must(moat_code_free(heap, write_view()) == MOAT_NOT_OURS, "free by the write view");
    return execute_view();
}

int main(void) {
#ifdef UNKNOWN_MACHINE
    puts("no function is known for this machine: nothing was tried");
    return 77;
#endif
    static const char *const options[] = {"execute=wx", "trap=protect", "backend=mimalloc"};
    static const size_t sizes[] = {PAGE, 3 * GRANULE, BLOCK};
    static unsigned char *(*const deadly[])(const struct scene *) = {
        freed_execute,  freed_write,  destroyed_execute, destroyed_write,
        before_execute, before_write, behind_execute,    behind_write,
    };
    for (unsigned kind = 0; kind < 3; kind++)
        for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            for (unsigned j = 0; j < sizeof deadly / sizeof deadly[0]; j++) {
                expect_death(options[kind], deadly[j], sizes[i], TOUCH_READ);
                expect_death(options[kind], deadly[j], sizes[i], TOUCH_WRITE);
                expect_death(options[kind], deadly[j], sizes[i], TOUCH_EXECUTE);
            }
            expect_death(options[kind], unpublished, sizes[i], TOUCH_READ);
            expect_death(options[kind], unpublished, sizes[i], TOUCH_WRITE);
            expect_death(options[kind], unpublished, sizes[i], TOUCH_EXECUTE);
            expect_life(options[kind], published, sizes[i], TOUCH_READ);
            expect_life(options[kind], published, sizes[i], TOUCH_EXECUTE);
            expect_death(options[kind], published, sizes[i], TOUCH_WRITE);
            expect_life(options[kind], written, sizes[i], TOUCH_WRITE);
            expect_death(options[kind], written, sizes[i], TOUCH_EXECUTE);
            expect_death(options[kind], sealed, sizes[i], TOUCH_WRITE);
            expect_death(options[kind], sealed, sizes[i], TOUCH_READ);
            expect_life(options[kind], sealed_execute, sizes[i], TOUCH_EXECUTE);
            expect_life(options[kind], opened, sizes[i], TOUCH_WRITE);
            expect_death(options[kind], opened, sizes[i], TOUCH_EXECUTE);
            expect_life(options[kind], after_refusal, sizes[i], TOUCH_EXECUTE);
        }
    return end_expectations();
}
