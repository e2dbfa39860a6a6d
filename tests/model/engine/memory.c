/* SPDX-License-Identifier: MIT */
/*
 * memory: the statics of the program, put back before each execution.
 *
 * They are write-protected page by page until something writes to one; from then on that page is
 * put back each time. So the programs may have large statics, and it does not matter who writes.
 */
#define _GNU_SOURCE

#include "engine.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES ((uintptr_t)4096)
#define PAGES      2048

/* From the linker: the first static that is initialised, the end of all. */
extern char __data_start[], _end[];

struct page {
    void *at;
    size_t size;
    char *content; /* as it was */
};

struct engine *engine;

static void keep(uintptr_t at, uintptr_t end) {
    struct page *page = &engine->page[engine->page_count];

    if (at >= end)
        return;
    if (engine->page_count++ == PAGES)
        engine_refuse("the program writes to more than %d pages", PAGES);
    *page =
        (struct page){(void *)at, end - at,
                      (char *)(engine->page + PAGES) + PAGE_BYTES * (size_t)(page - engine->page)};
    memcpy(page->content, page->at, page->size);
}

static uintptr_t first_page(void) {
    return ((uintptr_t)__data_start + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

static uintptr_t last_page(void) {
    return (uintptr_t)_end & ~(PAGE_BYTES - 1);
}

static void on_fault(int number, siginfo_t *info, void *context) {
    uintptr_t at = (uintptr_t)info->si_addr & ~(PAGE_BYTES - 1);

    (void)number, (void)context;
    if (at < first_page() || at >= last_page())
        engine_fail("an access to %p", info->si_addr);
    for (int i = 0; i < engine->page_count; i++) {
        if (engine->page[i].at == (void *)at)
            engine_fail("an access to %p", info->si_addr);
    }
    keep(at, at + PAGE_BYTES);
    mprotect((void *)at, PAGE_BYTES, PROT_READ | PROT_WRITE);
}

static void *map(size_t size) {
    void *room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (room == MAP_FAILED) {
        printf("no memory for the engine\n");
        exit(2);
    }
    return room;
}

void memory_start(void) {
    static char stack[64 << 10];
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    stack_t signal_stack = {.ss_sp = map(sizeof(stack)), .ss_size = sizeof(stack)};
    uintptr_t first = first_page(), last = last_page();

    engine = map(sizeof(*engine));
    engine->page = map(PAGES * (sizeof(struct page) + PAGE_BYTES));
    sigaltstack(&signal_stack, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    /* The pages at both ends are shared with what is not the program's. */
    keep((uintptr_t)__data_start, first < (uintptr_t)_end ? first : (uintptr_t)_end);
    keep(last < first ? (uintptr_t)_end : last, (uintptr_t)_end);
    if (first < last)
        mprotect((void *)first, last - first, PROT_READ);
}

void memory_restore(void) {
    for (int i = 0; i < engine->page_count; i++)
        memcpy(engine->page[i].at, engine->page[i].content, engine->page[i].size);
}
