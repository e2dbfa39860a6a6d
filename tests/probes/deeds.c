/* SPDX-License-Identifier: MIT */
/*
 * deeds: every operation that has a probe is done here, and what a tool that looks in has to see of
 * it is said. check.py looks in, and compares.
 *
 * A line is "deed", the probe and its five arguments in hexadecimal (otel_memory's have two); a
 * star stands for what this program cannot know.
 */
#define _GNU_SOURCE
#include <moat/code.h>
#include <moat/fault.h>
#include <moat/heap.h>
#include <moat/lock.h>
#include <moat/moat.h>
#include <moat/placeholder.h>
#include <moat/report.h>
#include <moat/residency.h>
#include <moat/space.h>

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE = MOAT_PAGE_BYTES, GRANULE = 65536, READ_ONLY = MOAT_PAGE_READONLY };

#define READ_WRITE MOAT_PAGE_READWRITE

static struct moat_manager *manager;
static char *base; /* of the region that most is done to */
static unsigned refused;

static void say(const char *probe, const void *address, size_t size, uint32_t protection,
                enum moat_status status, const void *owner) {
    printf("deed moat:%s %" PRIxPTR " %zx %" PRIx32 " %x %" PRIxPTR "\n", probe, (uintptr_t)address,
           size, protection, (unsigned)status, (uintptr_t)owner);
    refused += status != MOAT_OK;
}

static void say_mapping(const char *probe, const void *address, size_t size) {
    printf("deed otel_memory:%s %" PRIxPTR " %zx\n", probe, (uintptr_t)address, size);
}

static enum moat_status must(enum moat_status status, enum moat_status expected) {
    if (status == expected)
        return status;
    fprintf(stderr, "deeds: status %d, not %d: %s\n", status, expected, moat_last_error_text());
    exit(1);
}

static void found(const struct moat_finding *finding, void *context) {
    (void)context;
    printf("deed moat:finding %" PRIxPTR " %x %zx %x %" PRIxPTR "\n", (uintptr_t)finding->address,
           (unsigned)finding->kind, finding->length, (unsigned)finding->status,
           (uintptr_t)finding->text);
}

static void reserve(void) {
    void *at = NULL;
    enum moat_status status = moat_reserve(manager, NULL, 3 * GRANULE - 1, READ_ONLY, 0, &at);
    must(status, MOAT_OK);
    base = at;
    say_mapping("mmap", at, 3 * GRANULE);
    say("reserve", at, 3 * GRANULE, READ_ONLY, status, manager);

    /* At a place that is named both ends are rounded. */
    char *inside = base + GRANULE + 100;
    status = must(moat_reserve(manager, inside, PAGE, READ_WRITE, 0, &at), MOAT_INVALID_ADDRESS);
    say("reserve", inside, PAGE, READ_WRITE, status, manager);
    char *beyond = base + 64 * GRANULE + 100;
    status =
        must(moat_reserve(manager, beyond, PAGE, READ_WRITE, MOAT_RESERVE_COMMIT, &at), MOAT_OK);
    say_mapping("mmap", beyond - 100, 2 * PAGE);
    say("reserve", beyond - 100, 2 * PAGE, READ_WRITE, status, manager);
    say("commit", beyond - 100, 2 * PAGE, READ_WRITE, status, manager);
    status = must(moat_release(manager, beyond - 100), MOAT_OK);
    say("release", beyond - 100, 2 * PAGE, 0, status, manager);
    say_mapping("munmap", beyond - 100, 2 * PAGE);
}

static void commit(void) {
    uint32_t old;
    void *start;
    enum moat_status status = moat_commit(manager, base, 2 * PAGE, READ_WRITE, &start);
    say("commit", base, 2 * PAGE, READ_WRITE, must(status, MOAT_OK), manager);
    status = moat_commit(manager, base, 4 * GRANULE, READ_WRITE, &start);
    say("commit", base, 4 * GRANULE, READ_WRITE, must(status, MOAT_INVALID_ADDRESS), manager);
    status = moat_protect(manager, base, PAGE, READ_ONLY, &old);
    say("protect", base, PAGE, READ_ONLY, must(status, MOAT_OK), manager);
    status = moat_protect(manager, base + GRANULE, PAGE, READ_ONLY, &old);
    say("protect", base + GRANULE, PAGE, READ_ONLY, must(status, MOAT_INVALID_ADDRESS), manager);
    status = moat_protect(manager, base, PAGE, READ_WRITE, &old);
    say("protect", base, PAGE, READ_WRITE, must(status, MOAT_OK), manager);
    status = moat_reset(manager, base, PAGE, READ_WRITE, &start);
    say("reset", base, PAGE, READ_WRITE, must(status, MOAT_OK), manager);
    base[0] = 1;
    status = moat_reset_undo(manager, base, PAGE, READ_WRITE, &start);
    say("reset_undo", base, PAGE, READ_WRITE, status, manager);
    status = moat_discard(manager, base + 1, PAGE);
    say("discard", base + 1, PAGE, 0, must(status, MOAT_INVALID_ARGUMENT), manager);
    status = moat_lock_pages(manager, base, PAGE);
    say("lock_pages", base, PAGE, 0, must(status, MOAT_OK), manager);
    status = moat_unlock_pages(manager, base, 2 * PAGE);
    say("unlock_pages", base, 2 * PAGE, 0, must(status, MOAT_NOT_LOCKED), manager);
    status = moat_unlock_pages(manager, base, PAGE);
    say("unlock_pages", base, PAGE, 0, must(status, MOAT_OK), manager);
    status = moat_decommit(manager, base, PAGE);
    say("decommit", base, PAGE, 0, must(status, MOAT_OK), manager);
    status = moat_decommit(manager, base, SIZE_MAX);
    say("decommit", base, SIZE_MAX, 0, must(status, MOAT_INVALID_ARGUMENT), manager);
}

static void lock(void) {
    enum moat_status status = moat_lock(manager, base);
    say("lock", base, 0, 0, must(status, MOAT_OK), manager);
    status = moat_unlock(manager, base);
    say("unlock", base, 0, 0, must(status, MOAT_OK), manager);
    status = moat_unlock(manager, base);
    say("unlock", base, 0, 0, must(status, MOAT_NOT_OWNER), manager);
}

/* A page of somebody else, which is not to be released. */
static void adopt(void) {
    void *page = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    enum moat_status status = moat_adopt(manager, page, PAGE);
    say("adopt", page, PAGE, 0, must(status, MOAT_OK), manager);
    status = moat_disown(manager, page);
    say("disown", page, 0, 0, must(status, MOAT_OK), manager);
    status = moat_release(manager, page);
    say("release", page, 0, 0, must(status, MOAT_NOT_OURS), manager);
}

static void placeholder(void) {
    void *at = NULL;
    enum moat_status status = moat_placeholder_reserve(manager, NULL, 2 * GRANULE, 0, NULL, &at);
    char *place = at;
    say_mapping("mmap", place, 2 * GRANULE);
    say("reserve", place, 2 * GRANULE, MOAT_PAGE_NOACCESS, must(status, MOAT_OK), manager);
    status = moat_placeholder_preserve(manager, place, GRANULE);
    say("placeholder_preserve", place, GRANULE, 0, must(status, MOAT_OK), manager);
    status = moat_placeholder_coalesce(manager, place, 2 * GRANULE);
    say("placeholder_coalesce", place, 2 * GRANULE, 0, must(status, MOAT_OK), manager);
    status = moat_placeholder_replace(manager, place, 2 * GRANULE, READ_WRITE, 0, &at);
    say("placeholder_replace", place, 2 * GRANULE, READ_WRITE, must(status, MOAT_OK), manager);
}

/* A guard page that goes off once, touched. */
static void trap(void) {
    void *start;
    enum moat_status status =
        moat_commit(manager, base + GRANULE, PAGE, READ_WRITE | MOAT_PAGE_GUARD, &start);
    say("commit", base + GRANULE, PAGE, READ_WRITE | MOAT_PAGE_GUARD, must(status, MOAT_OK),
        manager);
    must(moat_fault_handler_install(NULL, NULL), MOAT_OK);
    *(volatile char *)(base + GRANULE) = 1;
    printf("deed moat:trap %" PRIxPTR " 2 0 0 *\n", (uintptr_t)(base + GRANULE));
    must(moat_fault_handler_remove(), MOAT_OK);
}

static void heaps(void) {
    struct moat_code_block code;
    struct moat_code_heap *codes;
    struct moat_heap *heap;
    void *block;

    must(moat_heap_create(manager, 0, &heap), MOAT_OK);
    enum moat_status status = moat_heap_alloc(heap, 100, &block);
    say("heap_alloc", block, 100, 0, must(status, MOAT_OK), heap);
    status = moat_heap_free(heap, block);
    say("heap_free", block, 0, 0, must(status, MOAT_OK), heap);
    must(moat_code_heap_create(manager, GRANULE, NULL, &codes), MOAT_OK);
    status = moat_code_alloc(codes, 100, &code);
    say("code_alloc", code.execute, 100, 0, must(status, MOAT_OK), codes);
    status = moat_code_free(codes, code.execute);
    say("code_free", code.execute, 0, 0, must(status, MOAT_OK), codes);
}

int main(void) {
    struct moat_options options;

    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    moat_options_init(&options);
    options.misuse = MOAT_MISUSE_REPORT;
    options.report_function = found;
    must(moat_manager_create(&options, &manager), MOAT_OK);
    reserve();
    commit();
    lock();
    adopt();
    placeholder();
    trap();
    heaps();
    enum moat_status status = moat_release(manager, base);
    say("release", base, 3 * GRANULE, 0, must(status, MOAT_OK), manager);
    say_mapping("munmap", base, 3 * GRANULE);
    fprintf(stderr, "deeds: done, %u refused\n", refused);
    return 0;
}
