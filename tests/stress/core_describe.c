/* SPDX-License-Identifier: MIT */
/*
 * core_describe: descriptions while others change what is described, by themselves and in signal
 * handlers, which may interrupt any call of any thread anywhere.
 *
 * A region's size says which thread made it, and that thread alone gives it back: so what is told
 * of a region and what is told of people have to agree. Torn records, and the ends of one region
 * told of another, do not.
 */
#define _GNU_SOURCE
#include "support/core.h"

#include <moat/describe.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum { MUTATORS = 3, SLOTS = 24, PAGES_LEAST = 20, PRINT_EACH = 256 };

static unsigned signals_wanted;
static struct moat_manager *managers[2];
static _Atomic uintptr_t slots[SLOTS];
static _Atomic uint32_t people[MUTATORS]; /* by the pages of their regions */
static pthread_t mutators[MUTATORS];
static atomic_uint ready;
static atomic_bool stop;
static atomic_uint handled, explained;
static _Atomic(const char *) wrong;

static size_t size_of(unsigned number) {
    return (size_t)(PAGES_LEAST + number) * PAGE;
}

static bool is_by(const struct moat_event *event, size_t size) {
    size_t number = size / PAGE - PAGES_LEAST;
    return size % PAGE == 0 && number < MUTATORS && event->thread == atomic_load(&people[number]) &&
           event->site != NULL;
}

static bool lies_in(const void *start, size_t size, const void *base, size_t whole) {
    uintptr_t offset = (uintptr_t)start - (uintptr_t)base;
    return size != 0 && offset <= whole && size <= whole - offset;
}

/* What contradicts itself in a description; NULL: nothing. */
static const char *find_fault(const struct moat_description *told) {
    bool decommitted = told->kind == MOAT_ADDRESS_DECOMMITTED;
    bool released = told->kind == MOAT_ADDRESS_RELEASED;

    if (told->kind == MOAT_ADDRESS_FREE || told->kind == MOAT_ADDRESS_BOOKS ||
        told->kind == MOAT_ADDRESS_FOREIGN)
        return "an address in an arena is none of Moat's";
    if (told->earlier_base && (!is_by(&told->earlier_freed, told->earlier_size) ||
                               !lies_in(told->address, 1, told->earlier_base, told->earlier_size)))
        return "the earlier region is not its maker's";
    if (told->kind == MOAT_ADDRESS_HELD)
        return NULL;
    if (!is_by(&told->reserved, told->size))
        return "the region is not its maker's";
    if (told->offset != (int64_t)((uintptr_t)told->address - (uintptr_t)told->base))
        return "the offset is another one's";
    if (told->distance == 0 && !lies_in(told->address, 1, told->base, told->size))
        return "the address is not in the region";
    if (decommitted && !is_by(&told->freed, told->size))
        return "pages were decommitted by a stranger";
    if (released && told->freed.thread &&
        (!is_by(&told->freed, told->size) || told->freed_base != told->base ||
         told->freed_size != told->size))
        return "the region was released by a stranger";
    if ((decommitted || (released && told->freed.thread)) &&
        (!lies_in(told->freed_base, told->freed_size, told->base, told->size) ||
         !lies_in(told->address, 1, told->freed_base, told->freed_size)))
        return "what was freed lies elsewhere";
    return NULL;
}

static void ask(uintptr_t address, bool print) {
    struct moat_description told;
    char text[1024];

    if (moat_describe_address((void *)address, &told) != MOAT_OK) {
        atomic_store(&wrong, "no answer");
        return;
    }
    const char *fault = find_fault(&told);
    if (fault)
        atomic_store(&wrong, fault);
    if (told.kind == MOAT_ADDRESS_RELEASED || told.kind == MOAT_ADDRESS_DECOMMITTED)
        atomic_fetch_add(&explained, 1);
    if (print && moat_description_print(&told, text, sizeof text) < strlen("  0 is"))
        atomic_store(&wrong, "no words");
}

static void ask_all(unsigned turn) {
    for (unsigned i = 0; i < SLOTS; i++) {
        uintptr_t base = atomic_load(&slots[i]);
        if (base)
            ask(base + (turn + i) % (PAGES_LEAST + 4) * PAGE + 7,
                (turn * SLOTS + i) % PRINT_EACH == 0);
    }
}

static void handle(int signal_number) {
    int interrupted = errno;
    (void)signal_number;
    errno = 4711;
    ask_all(atomic_fetch_add(&handled, 1));
    if (errno != 4711)
        atomic_store(&wrong, "errno was changed");
    errno = interrupted;
}

static void change(unsigned number, unsigned slot, uintptr_t *own, uint64_t *state) {
    struct moat_manager *manager = managers[slot & 1];
    size_t size = size_of(number);
    void *base = (void *)own[slot];

    if (!base) {
        CHECK(moat_reserve(manager, NULL, size, MOAT_PAGE_READWRITE, 0, &base) == MOAT_OK, "%s",
              moat_last_error_text());
        own[slot] = (uintptr_t)base;
        atomic_store(&slots[slot], own[slot]);
        return;
    }
    char *page = (char *)base + core_below(state, PAGES_LEAST - 2) * PAGE;
    switch (core_below(state, 4)) {
    case 0:
        CHECK(moat_release(manager, base) == MOAT_OK, "%s", moat_last_error_text());
        own[slot] = 0;
        break;
    case 1:
        CHECK(moat_commit(manager, page, 2 * PAGE, MOAT_PAGE_READWRITE, NULL) == MOAT_OK, "%s",
              moat_last_error_text());
        break;
    default:
        CHECK(moat_decommit(manager, page, 2 * PAGE) == MOAT_OK, "%s", moat_last_error_text());
    }
}

static void mutate(unsigned number) {
    uint64_t state = number;
    uintptr_t own[SLOTS] = {0};
    unsigned turn = 0;

    atomic_store(&people[number], (uint32_t)gettid());
    mutators[number] = pthread_self();
    atomic_fetch_add(&ready, 1);
    while (atomic_load(&ready) < MUTATORS)
        usleep(100);
    while (!atomic_load(&stop)) {
        change(number, core_below(&state, SLOTS / MUTATORS) * MUTATORS + number, own, &state);
        if (++turn % 16 == 0)
            ask_all(turn);
    }
}

static void body(unsigned number) {
    if (number < MUTATORS) {
        mutate(number);
        return;
    }
    while (atomic_load(&ready) < MUTATORS)
        usleep(100);
    for (unsigned i = 0; i < signals_wanted && !atomic_load(&wrong); i++) {
        CHECK(pthread_kill(mutators[i % MUTATORS], SIGUSR1) == 0, "no thread %u", i % MUTATORS);
        if (i % 8 == 0)
            usleep(200);
    }
    atomic_store(&stop, true);
}

int main(int argc, char **argv) {
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};

    signals_wanted = core_scale(argc, argv, 20000);
    managers[0] = core_manager(0);
    managers[1] = core_manager(1);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
    core_run(MUTATORS + 1, body);
    CHECK(!atomic_load(&wrong), "%s", atomic_load(&wrong));
    CHECK(atomic_load(&handled) > signals_wanted / 100, "%u signals", atomic_load(&handled));
    CHECK(atomic_load(&explained) > 0, "nothing was explained");
    printf("%u signals, %u answers with a past\n", atomic_load(&handled), atomic_load(&explained));
    moat_manager_destroy(managers[0]);
    moat_manager_destroy(managers[1]);
    return 0;
}
