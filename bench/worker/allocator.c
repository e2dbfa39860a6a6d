/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "allocator.h"

#include <moat/moat.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { GUARD_SIZE = 4096 };

static struct moat_manager *manager;

static bool open_nothing(const char *options) {
    if (options[0] != '\0')
        fprintf(stderr, "options are for Moat: %s\n", options);
    return options[0] == '\0';
}

static bool moat_open(const char *words) {
    struct moat_options options;
    char error[256];

    moat_options_init(&options);
    if (moat_options_parse(&options, words, error, sizeof error) != MOAT_OK) {
        fprintf(stderr, "%s\n", error);
        return false;
    }
    if (moat_manager_create(&options, &manager) != MOAT_OK) {
        fprintf(stderr, "%s\n", moat_last_error_text());
        return false;
    }
    return true;
}

static void *moat_take(size_t size) {
    void *base;
    enum moat_status status =
        moat_reserve(manager, NULL, size, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT, &base);
    return status == MOAT_OK ? base : NULL;
}

static bool moat_give(void *memory, size_t size) {
    (void)size;
    return moat_release(manager, memory) == MOAT_OK;
}

static void *map(size_t size, int protection) {
    void *memory = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void *mmap_take(size_t size) {
    return map(size, PROT_READ | PROT_WRITE);
}

static bool mmap_give(void *memory, size_t size) {
    return munmap(memory, size) == 0;
}

static void *guarded_take(size_t size) {
    char *memory = map(size + 2 * (size_t)GUARD_SIZE, PROT_NONE);
    if (memory == NULL)
        return NULL;
    if (mprotect(memory + GUARD_SIZE, size, PROT_READ | PROT_WRITE) == 0)
        return memory + GUARD_SIZE;
    munmap(memory, size + 2 * (size_t)GUARD_SIZE);
    return NULL;
}

static bool guarded_give(void *memory, size_t size) {
    return munmap((char *)memory - GUARD_SIZE, size + 2 * (size_t)GUARD_SIZE) == 0;
}

static bool malloc_give(void *memory, size_t size) {
    (void)size;
    free(memory);
    return true;
}

static const struct allocator allocators[] = {
    {"moat", true, moat_open, moat_take, moat_give},
    {"mmap", true, open_nothing, mmap_take, mmap_give},
    {"guarded mmap", true, open_nothing, guarded_take, guarded_give},
    {"malloc", false, open_nothing, malloc, malloc_give},
};

const struct allocator *allocator_find(const char *name) {
    for (size_t i = 0; i < sizeof allocators / sizeof *allocators; i++)
        if (strcmp(name, allocators[i].name) == 0)
            return &allocators[i];
    return NULL;
}

const char *allocator_origin(void) {
    Dl_info found;
    void *address = dlsym(RTLD_DEFAULT, "malloc");
    return address != NULL && dladdr(address, &found) != 0 ? found.dli_fname : "unknown";
}

const char *allocator_options(void) {
    static char text[2048];

    text[0] = '\0';
    if (manager != NULL)
        moat_options_print(moat_manager_options(manager), text, sizeof text);
    return text;
}
