/* SPDX-License-Identifier: MIT */
/*
 * scene: a process to be looked at. It prints its regions, and then does what its argument says:
 *
 *   still     waits for the end of its input
 *   busy      has threads reserve, commit and release meanwhile
 *   crash     aborts
 *   strange   changes the version of its layout first
 *   damaged   changes the record of its second region first
 *   torn      goes on changing that record's life
 *   misuse    releases a region twice, which misuse=abort makes the end
 *
 * Its lines are "region BASE SIZE COMMITTED" and, when it is ready, "ready".
 */
#define _GNU_SOURCE
#include <moat/heap.h>
#include <moat/inspect.h>
#include <moat/moat.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { THREADS = 2, MANY = 64 };

static struct moat_manager *first, *second;
static _Atomic bool over;

static void must(enum moat_status status) {
    if (status == MOAT_OK)
        return;
    fprintf(stderr, "%s\n", moat_last_error_text());
    exit(1);
}

static unsigned char *reserve(struct moat_manager *manager, size_t pages, uint32_t protection,
                              uint32_t flags) {
    void *base;
    must(moat_reserve(manager, NULL, pages * MOAT_PAGE_SIZE, protection, flags, &base));
    return base;
}

static void commit(struct moat_manager *manager, unsigned char *base, size_t page, size_t count,
                   uint32_t protection) {
    must(moat_commit(manager, base + page * MOAT_PAGE_SIZE, count * MOAT_PAGE_SIZE, protection,
                     NULL));
}

static void tell(const unsigned char *base, size_t pages, size_t committed) {
    printf("region 0x%lx %zu %zu\n", (unsigned long)base, pages * MOAT_PAGE_SIZE,
           committed * MOAT_PAGE_SIZE);
}

/* Regions of several shapes: dense, with holes, large, alone; and what was released. */
static void set(void) {
    must(moat_manager_create(NULL, &first));
    must(moat_manager_create(NULL, &second));
    unsigned char *dense = reserve(first, 16, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT);
    memset(dense, 1, 16 * MOAT_PAGE_SIZE);
    tell(dense, 16, 16);
    unsigned char *holes = reserve(first, 40, MOAT_PAGE_READWRITE, 0);
    commit(first, holes, 1, 3, MOAT_PAGE_READWRITE);
    commit(first, holes, 9, 5, MOAT_PAGE_READONLY);
    commit(first, holes, 20, 2, MOAT_PAGE_NOACCESS);
    tell(holes, 40, 10);
    unsigned char *large = reserve(second, 5000, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT);
    memset(large, 2, 1000 * MOAT_PAGE_SIZE);
    tell(large, 5000, 5000);
    unsigned char *alone = reserve(second, 100000, MOAT_PAGE_READWRITE, 0);
    commit(second, alone, 70000, 3, MOAT_PAGE_EXECUTE_READ);
    tell(alone, 100000, 3);
    for (unsigned i = 0; i < MANY; i++)
        tell(reserve(second, 1 + i, MOAT_PAGE_READWRITE, i % 2 ? MOAT_RESERVE_COMMIT : 0), 1 + i,
             i % 2 ? 1 + i : 0);
    for (unsigned i = 0; i < 8; i++)
        must(moat_release(first, reserve(first, 10, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT)));
}

static void *mutate(void *unused) {
    (void)unused;
    for (unsigned i = 0; !over; i++) {
        size_t pages = 1 + i * 7919u % 600;
        unsigned char *base = reserve(first, pages, MOAT_PAGE_READWRITE, 0);
        commit(first, base, i % pages, 1, MOAT_PAGE_READWRITE);
        base[i % pages * MOAT_PAGE_SIZE] = 1;
        must(moat_release(first, base));
    }
    return NULL;
}

/* The layout, found as tools do: by its magic and its own address. */
static struct moat_layout *find_layout(void) {
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4352];

    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        if (!strchr(line, '/') || sscanf(line, "%lx-%lx r%*[w-]-p", &start, &end) != 2)
            continue;
        for (; start + sizeof(struct moat_layout) <= end; start += 16) {
            struct moat_layout *found = (struct moat_layout *)start;
            if (memcmp(found->magic, MOAT_LAYOUT_MAGIC, 16) == 0 && found->self == found)
                return found;
        }
    }
    exit(1);
}

static void unprotect(const void *start) {
    uintptr_t page = (uintptr_t)start / MOAT_PAGE_SIZE * MOAT_PAGE_SIZE;
    if (mprotect((void *)page, 2 * MOAT_PAGE_SIZE, PROT_READ | PROT_WRITE) != 0)
        exit(1);
}

static uint64_t number_of(const struct moat_layout *layout, const char *name) {
    const char *word = strchr(layout->names, ';') + 1;
    for (unsigned i = 0; *word; i++, word = strchr(word, ' ') + 1)
        if (strncmp(word, name, strlen(name)) == 0 && word[strlen(name)] == ' ')
            return layout->numbers[i];
    exit(1);
}

/* The record of the second region, by the layout. The second address is the registry. */
static unsigned char *second_record(const struct moat_layout *layout) {
    const unsigned char *registry = layout->addresses[1];
    unsigned char *records;
    memcpy(&records, registry + number_of(layout, "registry_records"), sizeof records);
    return records + 2 * number_of(layout, "record_bytes");
}

/* As a stray write would, by chance. */
static void damage(void) {
    const struct moat_layout *layout = find_layout();
    unsigned char *size = second_record(layout) + number_of(layout, "record_size");
    *(size_t *)(void *)size += MOAT_PAGE_SIZE;
}

/* As if a region came and went, and came: an odd generation, and the next odd one. */
static void *flicker(void *life) {
    do
        atomic_fetch_add((_Atomic uint64_t *)life, UINT64_C(2) << 32);
    while (!over);
    return NULL;
}

/* Once before anybody looks. */
static void *start_to_flicker(void) {
    const struct moat_layout *layout = find_layout();
    unsigned char *life = second_record(layout) + number_of(layout, "record_life");
    over = true;
    (void)flicker(life);
    over = false;
    return life;
}

/* The second release is refused, or by option the end. */
static void misuse(void) {
    unsigned char *base = reserve(first, 10, MOAT_PAGE_READWRITE, MOAT_RESERVE_COMMIT);
    printf("released 0x%lx\n", (unsigned long)base);
    puts("ready");
    (void)fflush(stdout);
    must(moat_release(first, base));
    must(moat_release(first, base));
}

int main(int count, char **arguments) {
    const char *what = count == 2 ? arguments[1] : "";
    pthread_t threads[THREADS];

    set();
    if (strcmp(what, "strange") == 0) {
        struct moat_layout *layout = find_layout();
        unprotect(layout);
        layout->version++;
    } else if (strcmp(what, "damaged") == 0) {
        damage();
    } else if (strcmp(what, "misuse") == 0) {
        misuse();
    }
    bool torn = strcmp(what, "torn") == 0;
    void *life = torn ? start_to_flicker() : NULL;
    unsigned busy = torn ? 1 : strcmp(what, "busy") == 0 ? THREADS : 0;
    for (unsigned i = 0; i < busy; i++)
        if (pthread_create(&threads[i], NULL, torn ? flicker : mutate, life) != 0)
            return 1;
    puts("ready");
    (void)fflush(stdout);
    if (strcmp(what, "crash") == 0)
        abort();
    while (getchar() != EOF)
        continue;
    over = true;
    for (unsigned i = 0; i < busy; i++)
        (void)pthread_join(threads[i], NULL);
    _exit(0);
}
