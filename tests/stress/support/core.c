/* SPDX-License-Identifier: MIT */
/* core: plain threads, so that ThreadSanitizer sees nothing but Moat. */
#define _GNU_SOURCE
#include "core.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/mman.h>

/* mimalloc hands memory from thread to thread in an order that ThreadSanitizer, to which an
 * uninstrumented library is silent, cannot see. */
#ifdef __SANITIZE_THREAD__
#define MIMALLOC_IS_SEEN false
#else
#define MIMALLOC_IS_SEEN true
#endif

#define OUTSIDE_DISTANCE ((uintptr_t)64 << 30)
#define ADDRESS_END      ((uintptr_t)0x7FFFFFFFF000) /* a stack may lie beyond user space */

struct worker {
    pthread_t thread;
    unsigned number;
    void (*body)(unsigned);
};

static pthread_barrier_t meeting;

_Noreturn void core_fail(const char *file, int line, const char *condition, const char *format,
                         ...) {
    va_list list;
    fprintf(stderr, "%s:%d: %s: ", file, line, condition);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fprintf(stderr, "\n");
    abort();
}

unsigned core_scale(int argc, char **argv, unsigned amount) {
    double factor = argc > 1 ? strtod(argv[1], NULL) : 1;
    double scaled = amount * factor;
    return scaled < 1 ? 1 : (unsigned)scaled;
}

uint64_t core_random(uint64_t *state) {
    uint64_t mixed = *state += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

unsigned core_below(uint64_t *state, unsigned bound) {
    return (unsigned)(core_random(state) % bound);
}

static void *work(void *argument) {
    const struct worker *worker = argument;
    worker->body(worker->number);
    return NULL;
}

void core_run(unsigned threads, void (*body)(unsigned number)) {
    struct worker workers[CORE_THREADS_MAX];

    pthread_barrier_init(&meeting, NULL, threads);
    for (unsigned i = 0; i < threads; i++) {
        workers[i].number = i;
        workers[i].body = body;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            core_fail(__FILE__, __LINE__, "pthread_create", "thread %u", i);
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
    pthread_barrier_destroy(&meeting);
}

void core_meet(void) {
    pthread_barrier_wait(&meeting);
}

struct moat_manager *core_manager_with(unsigned mechanism, uint32_t quarantine) {
    struct moat_options options;
    struct moat_manager *manager;

    moat_options_init(&options);
    options.quarantine_regions = quarantine;
    options.timeout_ms = 60000;
    if (mechanism == 1)
        options.trap = MOAT_TRAP_PROTECT;
    if (mechanism == 2 && MIMALLOC_IS_SEEN)
        options.backend = MOAT_BACKEND_MIMALLOC;
    enum moat_status status = moat_manager_create(&options, &manager);
    if (status == MOAT_NOT_SUPPORTED && mechanism == 2)
        return core_manager_with(0, quarantine);
    CHECK(status == MOAT_OK, "%s", moat_last_error_text());
    return manager;
}

struct moat_manager *core_manager(unsigned mechanism) {
    return core_manager_with(mechanism, 16);
}

uintptr_t core_window_inside(struct moat_manager *manager, size_t size) {
    void *base;
    CHECK(moat_reserve(manager, NULL, size, MOAT_PAGE_NOACCESS, 0, &base) == MOAT_OK, "%s",
          moat_last_error_text());
    CHECK(moat_release(manager, base) == MOAT_OK, "%s", moat_last_error_text());
    return (uintptr_t)base;
}

uintptr_t core_window_outside(size_t size) {
    void *near = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(near != MAP_FAILED, "no address space");
    uintptr_t start = ((uintptr_t)near - OUTSIDE_DISTANCE) / GRANULE * GRANULE;
    munmap(near, PAGE);
    void *there = mmap((void *)start, size, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(there == (void *)start, "something is at %#lx", (unsigned long)start);
    munmap(there, size);
    return start;
}

void core_check_info(const struct moat_page_info *info, uintptr_t address) {
    uintptr_t base = (uintptr_t)info->base;
    uintptr_t allocation = (uintptr_t)info->allocation_base;

    CHECK(base == address / PAGE * PAGE, "%#lx: base %#lx", (unsigned long)address,
          (unsigned long)base);
    CHECK(info->size != 0 && info->size % PAGE == 0 && info->size <= ADDRESS_END - base,
          "%#lx: size %zu", (unsigned long)address, info->size);
    if (info->state == MOAT_STATE_FREE) {
        CHECK(!allocation && info->kind == MOAT_KIND_NONE && !info->allocation_protection &&
                  info->protection == MOAT_PAGE_NOACCESS && !info->owner,
              "%#lx: free, yet of %#lx", (unsigned long)address, (unsigned long)allocation);
        return;
    }
    CHECK(
        allocation && allocation <= base && info->kind != MOAT_KIND_NONE,
        "%#lx: of %#lx, %zu bytes, state %d, kind %d, protection %#x, reserved with %#x, owner %p",
        (unsigned long)address, (unsigned long)allocation, info->size, info->state, info->kind,
        info->protection, info->allocation_protection, (const void *)info->owner);
    CHECK((info->protection != 0) == (info->state == MOAT_STATE_COMMITTED),
          "%#lx: state %d, protection %#x", (unsigned long)address, info->state, info->protection);
}
