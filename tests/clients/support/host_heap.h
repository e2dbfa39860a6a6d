/* SPDX-License-Identifier: MIT */
/*
 * host_heap: the allocation functions that a library wants, over IHostMalloc as a host would have
 * it: through the table of methods, from a manager made by the exported function.
 *
 * What is still live when the heap ends is counted by what the heap itself then lists.
 */
#ifndef MOAT_TESTS_CLIENTS_HOST_HEAP_H
#define MOAT_TESTS_CLIENTS_HOST_HEAP_H

#include <moat/mscoree.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            host_fail(__FILE__, __LINE__, #condition, __VA_ARGS__);                                \
    } while (0)

_Noreturn void host_fail(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A manager with this quota in bytes (0: none), and a heap in it that lists what is live. */
IHostMalloc *host_heap_create(uint64_t quota);

/* NULL: no memory. A quota is the only reason for that to be accepted. */
void *host_heap_alloc(IHostMalloc *heap, size_t size);
void host_heap_free(IHostMalloc *heap, void *block);

/* A copy of `old_size` bytes in a new block, the old one being freed; NULL: no memory, and the old
 * block is as it was. */
void *host_heap_resize(IHostMalloc *heap, void *block, size_t old_size, size_t size);

/* Blocks allocated since the program began. */
uint64_t host_heap_count(void);

/* The last Release. Returns how many blocks were live. */
size_t host_heap_destroy(IHostMalloc *heap);

/* A file of the folder of this client, whole and terminated; freed by nobody. */
char *host_read_file(const char *folder, const char *name);

#endif
