/* SPDX-License-Identifier: MIT */
/* scenes: how the world gets into each state by means that a host or its bugs have, too. */
#define _GNU_SOURCE
#include "scenes.h"

#include <moat/lock.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

IHostMemoryManager *host;
struct moat_manager *native;
IHostMalloc *heap;
char *region;
char *mapping;
void *block;

void must(bool condition, const char *what) {
    if (condition)
        return;
    printf("FAIL: the scene was not set: %s (%s)\n", what, moat_last_error_text());
    fflush(stdout);
    _Exit(1);
}

char *allocated(IHostMemoryManager *from) {
    void *memory;
    must(from->lpVtbl->VirtualAlloc(from, NULL, REGION, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE,
                                    eTaskCritical, &memory) == S_OK,
         "a region");
    return memory;
}

static bool set(const char *words) {
    struct moat_options options;
    moat_options_init(&options);
    must(moat_options_parse(&options, words, NULL, 0) == MOAT_OK, "options");
    must(moat_create_host_memory_manager(&options, &host) == S_OK, "a manager");
    native = moat_host_native_manager(host);
    must(native != NULL, "its native manager");
    region = allocated(host);
    must(host->lpVtbl->CreateMalloc(host, MALLOC_THREADSAFE, &heap) == S_OK, "a heap");
    must(heap->lpVtbl->Alloc(heap, 100, eTaskCritical, &block) == S_OK, "a block");
    mapping = mmap(NULL, REGION, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(mapping != MAP_FAILED, "a mapping");
    must(host->lpVtbl->AcquiredVirtualAddressSpace(host, mapping, REGION) == S_OK, "acquired");
    return true;
}

bool plain(void) {
    return set("timeout=0");
}

/* The number in a file; 0 if there is none. */
static unsigned long number_in(const char *path) {
    unsigned long number = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%lu", &number) != 1)
        number = 0;
    fclose(file);
    return number;
}

#define LARGE_FOLDER "/sys/kernel/mm/hugepages/hugepages-2048kB/"

bool no_large_pages(void) {
    return plain() && number_in(LARGE_FOLDER "nr_hugepages") == 0 &&
           number_in(LARGE_FOLDER "nr_overcommit_hugepages") == 0;
}

bool unloaded(void) {
    (void)plain();
    must(moat_set_runtime_state(native, MOAT_RUNTIME_UNLOADED) == MOAT_OK, "unloaded");
    return true;
}

bool unmapped(void) {
    (void)plain();
    must(munmap(region + 4 * PAGE, PAGE) == 0, "munmap");
    return true;
}

bool latched(void) {
    (void)unmapped();
    must(decommit() == E_FAIL, "corruption is found");
    return true;
}

/* Find two neighbouring words in a page; what they are beside is for the caller. */
static uintptr_t *find_in_page(int memory, uintptr_t page, uintptr_t first, uintptr_t second) {
    uintptr_t words[PAGE / sizeof(uintptr_t)];
    /* By way of the file, which does not mind a guard. */
    if (pread(memory, words, sizeof words, (off_t)page) != (ssize_t)sizeof words)
        return NULL;
    for (size_t i = 0; i + 1 < sizeof words / sizeof words[0]; i++)
        if (words[i] == first && words[i + 1] == second)
            return (uintptr_t *)page + i;
    return NULL;
}

/* No book is as large as that; what sanitizers map is. */
#define TOO_MUCH (1ul << 30)

static uintptr_t *find_words(uintptr_t first, uintptr_t second) {
    FILE *maps = fopen("/proc/self/maps", "re");
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    uintptr_t *found = NULL;
    unsigned long start, end;
    char rights[8], line[512];

    must(maps != NULL && memory >= 0, "/proc/self");
    while (!found && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%lx-%lx %7s", &start, &end, rights) != 3 || strncmp(rights, "rw", 2) ||
            strstr(line, "[stack]") || end - start > TOO_MUCH)
            continue;
        for (uintptr_t page = start; !found && page < end; page += PAGE)
            found = find_in_page(memory, page, first, second);
    }
    fclose(maps);
    close(memory);
    return found;
}

/* A stray write of a program, that knows nothing of Moat, into Moat's record of the region. */
bool record_overwritten(void) {
    (void)plain();
    uintptr_t *words = find_words((uintptr_t)region, REGION);
    must(words != NULL, "the record");
    words[1] = ~(uintptr_t)0;
    return true;
}

bool large_block_unmapped(void) {
    (void)plain();
    must(heap->lpVtbl->Alloc(heap, LARGE, eTaskCritical, &block) == S_OK, "a large block");
    uintptr_t page = ((uintptr_t)block + LARGE / 2) & ~(uintptr_t)(PAGE - 1);
    must(munmap((void *)page, PAGE) == 0, "munmap");
    return true;
}

static atomic_bool is_locked, may_end;

static void pause_briefly(void) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void *hold(void *unused) {
    (void)unused;
    must(moat_lock(native, region) == MOAT_OK, "a lock");
    atomic_store(&is_locked, true);
    while (!atomic_load(&may_end))
        pause_briefly();
    return NULL;
}

static void begin(void *(*body)(void *)) {
    pthread_t thread;
    must(pthread_create(&thread, NULL, body, NULL) == 0, "a thread");
}

static bool locked(const char *words) {
    (void)set(words);
    begin(hold);
    while (!atomic_load(&is_locked))
        pause_briefly();
    return true;
}

bool locked_for_long(void) {
    return locked("timeout=20");
}

/* As often as it takes: the call may not have begun to wait yet. */
static void *call_off(void *unused) {
    (void)unused;
    for (;;) {
        pause_briefly();
        moat_cancel_waits(native);
    }
    return NULL;
}

bool locked_and_called_off(void) {
    (void)locked("timeout=600000");
    begin(call_off);
    return true;
}

/* A thread that only waits for the other one to wait in the kernel; then the holder ends. */
static void *end_holder(void *unused) {
    (void)unused;
    for (int i = 0; i < 300; i++)
        pause_briefly();
    atomic_store(&may_end, true);
    return NULL;
}

bool locked_until_end(void) {
    (void)locked("timeout=600000,report=off");
    begin(end_holder);
    return true;
}

bool quota_full(void) {
    return set("quota=1M");
}

bool no_new_code(void) {
    return set("execute=wx");
}

enum { OTHER_PAGES = 200 };

bool at_map_limit(void) {
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    unsigned long limit = 0;
    bool near = file && fscanf(file, "%lu", &limit) == 1 && limit <= 500000;
    if (file)
        fclose(file);
    if (!near)
        return false;
    (void)set("trap=protect");
    void *memory = NULL;
    must(moat_reserve(native, NULL, OTHER_PAGES * PAGE, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT,
                      &memory) == MOAT_OK,
         "one more region");
    char *other = memory;
    size_t pages = 2 * limit + 2;
    char *stretch =
        mmap(NULL, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    must(stretch != MAP_FAILED, "mmap");
    for (size_t page = 1; page < pages; page += 2)
        if (mprotect(stretch + page * PAGE, PAGE, PROT_READ) != 0)
            break;
    /* Decommits find mappings that are held for them, and then no more. */
    for (size_t page = 1; page < OTHER_PAGES; page += 2)
        if (moat_decommit(native, other + page * PAGE, PAGE) == MOAT_MAP_LIMIT)
            return true;
    must(false, "the mapping limit was not reached");
    return false;
}

/* Compilers disagree on the type of the name of a limit. */
#define limit(resource) must(setrlimit(resource, &(struct rlimit){0, 0}) == 0, "setrlimit")

/* AddressSanitizer needs address space of its own, and ends a process that has none. */
#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER
#endif
#endif

bool no_more_address_space(void) {
#ifdef ADDRESS_SANITIZER
    return false;
#else
    (void)plain();
    limit(RLIMIT_AS);
    return true;
#endif
}

/* What is there already is used up by the call itself, until it fails. */
static bool use_up_books(HRESULT (*call)(void)) {
    (void)plain();
    limit(RLIMIT_DATA);
    for (int i = 0; i < 1 << 20; i++)
        if (call() != S_OK)
            return true;
    must(false, "there is no end of the books");
    return false;
}

bool no_more_heaps(void) {
    return use_up_books(create_malloc);
}

bool no_more_acquired(void) {
    return use_up_books(acquired);
}
