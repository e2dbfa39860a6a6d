/* SPDX-License-Identifier: MIT */
/*
 * example_mimalloc: what a parser allocates for a document of somebody else's comes from one
 * guarded region that nothing else is in, and takes no more than that: the way to use
 * <moat/mimalloc.h>.
 */
#include <moat/mimalloc.h>

#include <stdio.h>

struct node {
    struct node *next;
    char text[48];
};

int main(void) {
    struct moat_manager *manager; /* stays: mimalloc has no way to give up an arena */
    mi_arena_id_t arena;
    size_t size, nodes = 0;

    if (moat_manager_create(NULL, &manager) ||
        moat_mimalloc_arena(manager, (size_t)64 << 20, true, &arena))
        return 1;
    const char *start = mi_arena_area(arena, &size);
    mi_heap_t *heap = mi_heap_new_in_arena(arena);
    struct node *list = NULL;

    /* A document without an end. */
    for (;; nodes++) {
        struct node *node = mi_heap_malloc_tp(heap, struct node);
        if (!node)
            break;
        if ((const char *)node < start || (const char *)node >= start + size)
            return 1;
        *node = (struct node){list, "text"};
        list = node;
    }
    printf("%zu nodes, and no more in %zu MiB\n", nodes, size >> 20);
    mi_heap_destroy(heap); /* with all its blocks */
    heap = mi_heap_new_in_arena(arena);
    return nodes > 100000 && mi_heap_malloc(heap, sizeof *list) ? 0 : 1;
}
