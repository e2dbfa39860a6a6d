/* SPDX-License-Identifier: MIT */
/* faces: what a call on each of them returns, as a number. */
#define _GNU_SOURCE
#define COBJMACROS
#include "faces.h"

#include <moat/heap.h>
#include <moat/mscoree.h>
#include <moat/win32.h>

#include <stdio.h>
#include <stdlib.h>

static struct moat_manager *manager;
static struct moat_heap *heap;
static IHostMemoryManager *host;
static IHostMalloc *host_heap;
static uint32_t old;

static uint32_t native_release(void *address) {
    return moat_release(manager, address);
}

static uint32_t native_decommit(void *address, size_t size) {
    return moat_decommit(manager, address, size);
}

static uint32_t native_protect(void *address, size_t size, uint32_t protection) {
    return moat_protect(manager, address, size, protection, &old);
}

static uint32_t native_heap_free(void *block) {
    return moat_heap_free(heap, block);
}

static void *native_heap_alloc(size_t size) {
    void *block;
    must(moat_heap_alloc(heap, size, &block) == MOAT_OK, "heap alloc");
    return block;
}

static uint32_t win32_result(BOOL done) {
    return done ? 0 : GetLastError();
}

static uint32_t win32_free(void *address, size_t size, uint32_t type) {
    return win32_result(VirtualFree(address, size, type));
}

static uint32_t win32_release(void *address) {
    return win32_free(address, 0, MEM_RELEASE);
}

static uint32_t win32_decommit(void *address, size_t size) {
    return win32_free(address, size, MEM_DECOMMIT);
}

static uint32_t win32_protect(void *address, size_t size, uint32_t protection) {
    return win32_result(VirtualProtect(address, size, protection, &old));
}

static uint32_t com_free(void *address, size_t size, uint32_t type) {
    return (uint32_t)IHostMemoryManager_VirtualFree(host, address, size, type);
}

static uint32_t com_release(void *address) {
    return com_free(address, 0, MEM_RELEASE);
}

static uint32_t com_decommit(void *address, size_t size) {
    return com_free(address, size, MEM_DECOMMIT);
}

static uint32_t com_protect(void *address, size_t size, uint32_t protection) {
    return (uint32_t)IHostMemoryManager_VirtualProtect(host, address, size, protection, &old);
}

static uint32_t com_heap_free(void *block) {
    return (uint32_t)IHostMalloc_Free(host_heap, block);
}

static void *com_heap_alloc(size_t size) {
    void *block;
    must(IHostMalloc_Alloc(host_heap, size, eTaskCritical, &block) == S_OK, "alloc");
    return block;
}

static void open_native(struct face *face, const struct moat_options *options) {
    must(moat_manager_create(options, &manager) == MOAT_OK, "manager");
    must(moat_heap_create(manager, 0, &heap) == MOAT_OK, "heap");
    *face = (struct face){.release = native_release,
                          .decommit = native_decommit,
                          .protect = native_protect,
                          .heap_free = native_heap_free,
                          .heap_alloc = native_heap_alloc};
}

static void open_win32(struct face *face, const char *words) {
    setenv("MOAT_OPTIONS", words, 1);
    must(moat_manager_default(&manager) == MOAT_OK, "manager");
    must(moat_heap_create(manager, 0, &heap) == MOAT_OK, "heap");
    *face = (struct face){.release = win32_release,
                          .decommit = win32_decommit,
                          .protect = win32_protect,
                          .free_type = win32_free,
                          .heap_alloc = native_heap_alloc};
}

static void open_com(struct face *face, const struct moat_options *options) {
    must(moat_create_host_memory_manager(options, &host) == S_OK, "manager");
    must(IHostMemoryManager_CreateMalloc(host, MALLOC_THREADSAFE, &host_heap) == S_OK, "heap");
    manager = moat_host_native_manager(host);
    *face = (struct face){.release = com_release,
                          .decommit = com_decommit,
                          .protect = com_protect,
                          .free_type = com_free,
                          .heap_free = com_heap_free,
                          .heap_alloc = com_heap_alloc};
}

void face_open(struct face *face, unsigned which, const char *policy, const char *more,
               void (*function)(const struct moat_finding *finding, void *context), void *context) {
    struct moat_options options;
    char words[64];

    snprintf(words, sizeof words, "misuse=%s%s", policy, more ? more : "");
    moat_options_init(&options);
    must(moat_options_parse(&options, words, NULL, 0) == MOAT_OK, words);
    options.report_function = function;
    options.report_context = context;
    if (which == NATIVE)
        open_native(face, &options);
    else if (which == WIN32)
        open_win32(face, words);
    else
        open_com(face, &options);
    face->manager = manager;
}
