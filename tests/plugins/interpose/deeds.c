/* SPDX-License-Identifier: MIT */
/*
 * deeds: what programs do for memory, one deed after the other. Each is announced by a write to no
 * file, which a tracer sees, and followed by how many calls the shim saw of it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MEBIBYTE ((size_t)1 << 20)

/* What compilers must not leave out. */
static void *volatile kept;
static volatile char touched;

static void direct(void) {
    char *map = mmap(NULL, MEBIBYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (map == MAP_FAILED)
        return;
    (void)mprotect(map, 4096, PROT_READ);
    (void)madvise(map, MEBIBYTE, MADV_DONTNEED);
    munmap(map, MEBIBYTE);
}

static void large_malloc(void) {
    kept = malloc(MEBIBYTE);
    free(kept);
}

static void large_realloc(void) {
    kept = malloc(MEBIBYTE);
    kept = realloc(kept, 64 * MEBIBYTE);
    free(kept);
}

static void small_mallocs(void) {
    static void *volatile blocks[1000];

    for (int i = 0; i < 1000; i++)
        blocks[i] = malloc(1000);
    for (int i = 0; i < 1000; i++)
        free(blocks[i]);
}

static void *allocate(void *unused) {
    kept = malloc(1000);
    free(kept);
    return unused;
}

static void thread(void) {
    pthread_t started;

    if (!pthread_create(&started, NULL, allocate, NULL))
        pthread_join(started, NULL);
}

static void library(void) {
    void *opened = dlopen("libresolv.so.2", RTLD_NOW);

    if (opened)
        dlclose(opened);
}

static void locale(void) {
    setlocale(LC_ALL, "C.UTF-8");
}

static void raw(void) {
    long map = syscall(SYS_mmap, NULL, MEBIBYTE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    syscall(SYS_munmap, map, MEBIBYTE);
}

static const struct {
    const char *name;
    void (*deed)(void);
} deeds[] = {
    {"direct", direct},
    {"brk", small_mallocs},
    {"large malloc", large_malloc},
    {"large realloc", large_realloc},
    {"thread", thread},
    {"dlopen", library},
    {"locale", locale},
    {"raw system call", raw},
};

int main(void) {
    unsigned long (*shim_seen)(void);
    void *symbol = dlsym(RTLD_DEFAULT, "shim_seen");

    memcpy(&shim_seen, &symbol, sizeof shim_seen);
    setvbuf(stdout, NULL, _IONBF, 0);
    for (size_t i = 0; i < sizeof deeds / sizeof deeds[0]; i++) {
        unsigned long before = shim_seen ? shim_seen() : 0;
        touched = (char)write(-1, deeds[i].name, strlen(deeds[i].name));
        deeds[i].deed();
        touched = (char)write(-1, "end", 3);
        printf("%s: %lu\n", deeds[i].name, (shim_seen ? shim_seen() : 0) - before);
    }
    return 0;
}
