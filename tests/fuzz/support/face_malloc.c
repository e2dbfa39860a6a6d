/* SPDX-License-Identifier: MIT */
/* face_malloc: a few blocks, what each holds, and which frees are refused. */
#include "face_malloc.h"

#include "face.h"
#include "input.h"
#include "plant.h"
#include "verify.h"

#include <string.h>

enum { BLOCKS_MAX = 12, SIZE_MAX_SMALL = 600, ALIGNMENT = 16 };

struct block {
    unsigned char *address;
    size_t size;
    unsigned char content;
};

static struct {
    IHostMemoryManager *host;
    IHostMalloc *heap;
    struct block blocks[BLOCKS_MAX];
    size_t count;
    void *freed; /* the last one */
} heap;

static void begin(unsigned type) {
    struct moat_options options;

    moat_options_init(&options);
    options.report = MOAT_REPORT_OFF;
    options.dump = MOAT_DUMP_NONE; /* nothing that the fuzzer looks into has this */
    face_before();
    (void)face_after_com(moat_create_host_memory_manager(&options, &heap.host));
    face_expect(MOAT_OK);
    face_before();
    (void)face_after_com(heap.host->lpVtbl->CreateMalloc(heap.host, type, &heap.heap));
    face_expect(MOAT_OK);
}

static struct block *find(const void *address) {
    for (size_t i = 0; i < heap.count; i++)
        if (heap.blocks[i].address == address)
            return &heap.blocks[i];
    return NULL;
}

static void check(const struct block *block) {
    for (size_t i = 0; i < block->size; i++)
        if (block->address[i] != block->content)
            verify_fail("byte %zu of the block at %p is %#x, not %#x", i, (void *)block->address,
                        block->address[i], block->content);
}

static void *allocate(size_t size, unsigned level, int line, void **out) {
    static char file[] = "file.c";

    face_before();
    if (line)
        (void)face_after_com(heap.heap->lpVtbl->DebugAlloc(
            heap.heap, size, (EMemoryCriticalLevel)level, file, line, out));
    else
        (void)face_after_com(
            heap.heap->lpVtbl->Alloc(heap.heap, size, (EMemoryCriticalLevel)level, out));
    return out ? *out : NULL;
}

static void allocate_block(unsigned choice) {
    size_t size = choice & 1 ? input_take(2) * 4 : input_take(1) * (size_t)SIZE_MAX_SMALL / 256;
    void *out;

    if (heap.count == BLOCKS_MAX)
        return;
    verify_note("malloc %zu", size);
    struct block block = {allocate(size, choice >> 1 & 1, choice & 4 ? 7 : 0, &out), size,
                          (unsigned char)(choice | 1)};
    face_expect(MOAT_OK);
    if (!block.address || (uintptr_t)block.address % ALIGNMENT)
        verify_fail("a block at %p", (void *)block.address);
    for (size_t i = 0; i < heap.count; i++)
        if (block.address < heap.blocks[i].address + heap.blocks[i].size + !heap.blocks[i].size &&
            heap.blocks[i].address < block.address + size + !size)
            verify_fail("the block at %p lies over another", (void *)block.address);
    memset(block.address, block.content, size);
    heap.blocks[heap.count++] = block;
}

static void free_as(void *address, enum moat_status should) {
    verify_note("free %p", address);
    face_before();
    (void)face_after_com(heap.heap->lpVtbl->Free(heap.heap, address));
    face_expect(should);
}

static void free_block(struct block *block) {
    check(block);
    heap.freed = block->address;
    free_as(block->address, MOAT_OK);
    *block = heap.blocks[--heap.count];
}

/* Nothing, what was freed already, the inside of a block, or an address of nobody's. */
static void free_wrong(unsigned choice) {
    struct block *block = heap.count ? &heap.blocks[choice % heap.count] : NULL;
    void *address = heap.freed;

    if (choice & 16)
        address = block ? (void *)(block->address + 1 + choice % 15) : &heap;
    if (!address || choice >= 240)
        free_as(NULL, plant_is("free-of-null-is-refused") ? MOAT_NOT_OURS : MOAT_OK);
    else if (!find(address))
        free_as(address, MOAT_NOT_OURS);
}

static void ask_wrong(unsigned choice) {
    const IID *ids[] = {&IID_IUnknown, &IID_IHostMalloc, &IID_IHostMemoryManager, NULL};
    IHostMalloc *none = heap.heap;
    void *out = &out;

    verify_note("malloc is asked for %u", choice & 7);
    if (choice & 4) {
        const HRESULT should[] = {S_OK, S_OK, E_NOINTERFACE, E_POINTER};
        HRESULT result = heap.heap->lpVtbl->QueryInterface(heap.heap, ids[choice & 3], &out);
        if (result != should[choice & 3] || out != (result ? NULL : heap.heap) ||
            (!result && heap.heap->lpVtbl->Release(heap.heap) != 1))
            verify_fail("QueryInterface answers %#x and %p", (unsigned)result, out);
    } else if (choice & 2) {
        (void)allocate(1, 3 + choice, choice & 1, choice & 8 ? NULL : &out);
        face_expect(choice & 8 ? MOAT_NO_ACCESS : MOAT_INVALID_ARGUMENT);
        if (out != (choice & 8 ? (void *)&out : NULL))
            verify_fail("a failed alloc left %p", out);
    } else {
        face_before();
        (void)face_after_com(heap.host->lpVtbl->CreateMalloc(heap.host, 4u + (choice & 3),
                                                             choice & 1 ? &none : NULL));
        face_expect(choice & 1 ? MOAT_INVALID_ARGUMENT : MOAT_NO_ACCESS);
        if (none != (choice & 1 ? NULL : heap.heap))
            verify_fail("a failed CreateMalloc left %p", (void *)none);
    }
}

void act_malloc(unsigned face) {
    unsigned what = input_take(1), choice = input_take(1);

    (void)face;
    if (!heap.heap)
        begin(choice & 3);
    if (what % 8 < 4)
        allocate_block(choice);
    else if (what % 8 < 6 && heap.count)
        free_block(&heap.blocks[choice % heap.count]);
    else if (what & 1)
        free_wrong(choice);
    else
        ask_wrong(choice);
    for (size_t i = 0; i < heap.count; i++)
        check(&heap.blocks[i]);
}

void face_malloc_end(void) {
    if (!heap.heap)
        return;
    while (heap.count > 0)
        free_block(&heap.blocks[0]);
    if (heap.heap->lpVtbl->Release(heap.heap) != 0 || heap.host->lpVtbl->Release(heap.host) != 0)
        verify_fail("somebody holds the heap, or its host");
    memset(&heap, 0, sizeof(heap));
}
