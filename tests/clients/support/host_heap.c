/* SPDX-License-Identifier: MIT */
/* host_heap: the functions, and the counting. */
#define _GNU_SOURCE
#define COBJMACROS

#include "host_heap.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t quota_bytes;
static _Atomic uint64_t count;

void host_fail(const char *file, int line, const char *condition, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s:%d: %s: ", file, line, condition);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(EXIT_FAILURE);
}

IHostMalloc *host_heap_create(uint64_t quota) {
    struct moat_options options;
    IHostMemoryManager *manager = NULL;
    IHostMalloc *heap = NULL;

    moat_options_init(&options);
    options.leaks = MOAT_LEAKS_REPORT;
    options.quota_bytes = quota_bytes = quota;
    CHECK(moat_create_host_memory_manager(&options, &manager) == S_OK, "no manager");
    CHECK(IHostMemoryManager_CreateMalloc(manager, MALLOC_THREADSAFE, &heap) == S_OK, "no heap");
    CHECK(IHostMemoryManager_Release(manager) == 1, "the heap holds its manager");
    return heap;
}

void *host_heap_alloc(IHostMalloc *heap, size_t size) {
    char file[] = __FILE__;
    void *block;
    /* Every other block with its origin, so that both kinds live side by side. */
    HRESULT result =
        atomic_fetch_add(&count, 1) % 2
            ? IHostMalloc_Alloc(heap, size, eTaskCritical, &block)
            : IHostMalloc_DebugAlloc(heap, size, eTaskCritical, file, __LINE__, &block);
    CHECK(result == S_OK || (result == E_OUTOFMEMORY && quota_bytes != 0), "%zu bytes: %#x", size,
          (unsigned)result);
    CHECK((result == S_OK) == (block != NULL), "%zu bytes: %#x, %p", size, (unsigned)result, block);
    return block;
}

void host_heap_free(IHostMalloc *heap, void *block) {
    HRESULT result = IHostMalloc_Free(heap, block);
    CHECK(result == S_OK, "%p: %#x", block, (unsigned)result);
}

void *host_heap_resize(IHostMalloc *heap, void *block, size_t old_size, size_t size) {
    void *copy = host_heap_alloc(heap, size);
    if (!copy)
        return NULL;
    if (block)
        memcpy(copy, block, old_size < size ? old_size : size);
    host_heap_free(heap, block);
    return copy;
}

uint64_t host_heap_count(void) {
    return atomic_load(&count);
}

size_t host_heap_destroy(IHostMalloc *heap) {
    char line[256];
    size_t live = 0;
    FILE *said = tmpfile();
    int before = dup(STDERR_FILENO);

    CHECK(said && before >= 0, "no temporary file");
    fflush(stderr);
    dup2(fileno(said), STDERR_FILENO);
    ULONG left = IHostMalloc_Release(heap);
    dup2(before, STDERR_FILENO);
    close(before);
    CHECK(left == 0, "%u references are left", (unsigned)left);
    rewind(said);
    while (fgets(line, sizeof line, said))
        if (sscanf(line, "moat: leaks: %zu live", &live) != 1)
            CHECK(strncmp(line, "moat: leak: ", 12) == 0, "%s", line);
    fclose(said);
    return live;
}

char *host_read_file(const char *folder, const char *name) {
    static char text[1 << 16];
    char path[1024];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL, "%s", path);
    size_t length = fread(text, 1, sizeof text, file);
    CHECK(length > 0 && length < sizeof text, "%s", path);
    fclose(file);
    text[length] = '\0';
    return text;
}
