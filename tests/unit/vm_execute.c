/* SPDX-License-Identifier: MIT */
/*
 * vm_execute: what execute=wx refuses, that nothing changes then, and that it lets the rest pass.
 */
#define _GNU_SOURCE
#include <moat/heap.h>
#include <moat/moat.h>
#include <moat/placeholder.h>
#include <moat/report.h>
#include <moat/win32.h>

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    PAGE = MOAT_PAGE_BYTES,
    RW = MOAT_PAGE_READWRITE,
    RO = MOAT_PAGE_READONLY,
    NONE = MOAT_PAGE_NOACCESS,
    X = MOAT_PAGE_EXECUTE,
    RX = MOAT_PAGE_EXECUTE_READ,
    RWX = MOAT_PAGE_EXECUTE_READWRITE,
    GUARDED = MOAT_PAGE_GUARD,
    SIZE = 64 * PAGE,
};

static struct moat_manager *manager;
static unsigned told;
static enum moat_finding_kind last_kind;
static char last_text[MOAT_REPORT_SIZE];

static void tell(const struct moat_finding *finding, void *context) {
    (void)context;
    told++;
    last_kind = finding->kind;
    memcpy(last_text, finding->text, finding->length + 1);
    cr_assert_eq(finding->status, MOAT_CODE_BLOCKED);
    cr_assert_eq(strlen(finding->text), finding->length);
}

static struct moat_manager *create(enum moat_execute execute, enum moat_trap trap) {
    struct moat_options options;
    struct moat_manager *made;
    moat_options_init(&options);
    options.execute = execute;
    options.trap = trap;
    options.misuse = MOAT_MISUSE_REPORT;
    options.report_function = tell;
    cr_assert_eq(moat_manager_create(&options, &made), MOAT_OK, "%s", moat_last_error_text());
    return made;
}

static void set_up(void) {
    told = 0;
    manager = create(MOAT_EXECUTE_WX, MOAT_TRAP_AUTO);
}

static void tear_down(void) {
    moat_manager_destroy(manager);
}

TestSuite(vm_execute, .init = set_up, .fini = tear_down);

static unsigned char *reserve(struct moat_manager *owner, uint32_t protection, uint32_t flags) {
    void *base;
    cr_assert_eq(moat_reserve(owner, NULL, SIZE, protection, flags, &base), MOAT_OK, "%s",
                 moat_last_error_text());
    return base;
}

static uint32_t protection_at(const void *address) {
    struct moat_page_info info;
    cr_assert_eq(moat_query(address, &info), MOAT_OK);
    return info.protection;
}

static enum moat_status protect(void *start, size_t size, uint32_t protection) {
    uint32_t old = 0xDEAD;
    enum moat_status status = moat_protect(manager, start, size, protection, &old);
    if (status)
        cr_assert_eq(old, 0xDEAD);
    return status;
}

Test(vm_execute, write_and_execute_at_once_is_refused_everywhere) {
    static const uint32_t modifiers[] = {0, MOAT_PAGE_GUARD, MOAT_PAGE_NOCACHE,
                                         MOAT_PAGE_WRITECOMBINE};
    unsigned char *base = reserve(manager, RW, 0);
    for (unsigned i = 0; i < sizeof modifiers / sizeof modifiers[0]; i++) {
        uint32_t wanted = RWX | modifiers[i];
        void *start = manager;
        cr_assert_eq(moat_reserve(manager, NULL, SIZE, wanted, 0, &start), MOAT_CODE_BLOCKED);
        cr_assert_null(start);
        cr_assert_eq(moat_reserve(manager, NULL, SIZE, wanted, MOAT_RESERVE_COMMIT, &start),
                     MOAT_CODE_BLOCKED);
        cr_assert_eq(moat_commit(manager, base, PAGE, wanted, NULL), MOAT_CODE_BLOCKED);
        cr_assert_eq(protection_at(base), 0);
        cr_assert_eq(moat_commit(manager, base, PAGE, RX, NULL), MOAT_OK);
        cr_assert_eq(protect(base, PAGE, wanted), MOAT_CODE_BLOCKED);
        cr_assert_eq(protection_at(base), RX);
        cr_assert(strstr(moat_last_error_text(), "execute=wx"));
        cr_assert_eq(moat_decommit(manager, base, PAGE), MOAT_OK);
    }
}

Test(vm_execute, placeholders_and_heaps_are_held_to_it) {
    void *base = NULL;
    struct moat_heap *heap;
    cr_assert_eq(moat_placeholder_reserve(manager, NULL, SIZE, 0, NULL, &base), MOAT_OK, "%s",
                 moat_last_error_text());
    void *region;
    cr_assert_eq(moat_placeholder_replace(manager, base, SIZE, RWX, 0, &region), MOAT_CODE_BLOCKED);
    cr_assert_eq(moat_placeholder_replace(manager, base, SIZE, RWX, MOAT_RESERVE_COMMIT, &region),
                 MOAT_CODE_BLOCKED);
    cr_assert_eq(moat_placeholder_replace(manager, base, SIZE, RX, MOAT_RESERVE_COMMIT, &region),
                 MOAT_OK);
    cr_assert_eq(moat_heap_create(manager, MOAT_HEAP_EXECUTABLE, &heap), MOAT_CODE_BLOCKED);
    cr_assert_null(heap);
    cr_assert_eq(moat_heap_create(manager, 0, &heap), MOAT_OK);
    moat_heap_destroy(heap);
}

/* The way round that a check of two adjacent steps would miss: through other protections. */
Test(vm_execute, what_was_committed_without_it_never_becomes_executable) {
    static const uint32_t ways[] = {RW, RO, NONE, RW | GUARDED, RO | GUARDED};
    static const uint32_t goals[] = {X, RX, X | GUARDED, RX | GUARDED};
    for (unsigned way = 0; way < sizeof ways / sizeof ways[0]; way++)
        for (unsigned goal = 0; goal < sizeof goals / sizeof goals[0]; goal++) {
            unsigned char *base = reserve(manager, RW, MOAT_RESERVE_COMMIT);
            memset(base, 0xC3, SIZE);
            cr_assert_eq(protect(base, SIZE, ways[way]), MOAT_OK);
            cr_assert_eq(protect(base, SIZE, goals[goal]), MOAT_CODE_BLOCKED);
            cr_assert_eq(moat_commit(manager, base, SIZE, goals[goal], NULL), MOAT_CODE_BLOCKED);
            cr_assert_eq(protection_at(base), ways[way], "nothing changed");
            cr_assert_eq(moat_release(manager, base), MOAT_OK);
        }
}

Test(vm_execute, committed_executable_it_reads_as_zero_and_may_stop) {
    unsigned char *base = reserve(manager, RW, MOAT_RESERVE_COMMIT);
    memset(base, 0xC3, SIZE);
    cr_assert_eq(moat_decommit(manager, base, SIZE), MOAT_OK);
    cr_assert_eq(moat_commit(manager, base, SIZE, RX, NULL), MOAT_OK);
    for (size_t i = 0; i < SIZE; i++)
        cr_assert_eq(base[i], 0);
    cr_assert_eq(protect(base, SIZE, X), MOAT_OK);
    cr_assert_eq(protect(base, SIZE, RX | GUARDED), MOAT_OK);
    cr_assert_eq(moat_commit(manager, base, SIZE, RX, NULL), MOAT_OK);
    cr_assert_eq(protect(base, PAGE, RW), MOAT_OK);
    base[0] = 0xC3;
    cr_assert_eq(protect(base, PAGE, RX), MOAT_CODE_BLOCKED);
    cr_assert_eq(protect(base + PAGE, PAGE, RX), MOAT_OK);
}

Test(vm_execute, of_a_mixed_range_nothing_changes) {
    unsigned char *base = reserve(manager, RW, 0);
    cr_assert_eq(moat_commit(manager, base, 4 * PAGE, RX, NULL), MOAT_OK);
    cr_assert_eq(moat_commit(manager, base + 4 * PAGE, PAGE, RO, NULL), MOAT_OK);
    /* The pages behind are not committed: a commit would be right for them alone. */
    cr_assert_eq(moat_commit(manager, base, 8 * PAGE, X, NULL), MOAT_CODE_BLOCKED);
    cr_assert_eq(protection_at(base), RX);
    cr_assert_eq(protection_at(base + 4 * PAGE), RO);
    cr_assert_eq(protection_at(base + 5 * PAGE), 0);
    cr_assert_eq(protect(base, 5 * PAGE, X), MOAT_CODE_BLOCKED);
    cr_assert_eq(protection_at(base), RX);
    cr_assert_eq(moat_commit(manager, base + 5 * PAGE, PAGE, RX, NULL), MOAT_OK);
}

Test(vm_execute, foreign_memory_is_held_to_it_by_the_manager_given) {
    uint32_t old;
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(page, MAP_FAILED);
    cr_assert_eq(protect(page, PAGE, RWX), MOAT_CODE_BLOCKED);
    cr_assert_eq(protect(page, PAGE, RX), MOAT_CODE_BLOCKED);
    cr_assert_eq(protection_at(page), RW);
    *(volatile char *)page = 1;
    cr_assert_eq(moat_protect(NULL, page, PAGE, RX, &old), MOAT_OK, "nobody's policy");
    cr_assert_eq(protect(page, PAGE, X), MOAT_OK, "it was executable");
    cr_assert_eq(protect(page, PAGE, RO), MOAT_OK);
    cr_assert_eq(protect(page, PAGE, X), MOAT_CODE_BLOCKED);
}

Test(vm_execute, regions_are_held_to_the_policy_of_their_owner) {
    uint32_t old;
    struct moat_manager *lax = create(MOAT_EXECUTE_ANY, MOAT_TRAP_AUTO);
    unsigned char *theirs = reserve(lax, RWX, MOAT_RESERVE_COMMIT);
    unsigned char *mine = reserve(manager, RW, MOAT_RESERVE_COMMIT);
    cr_assert_eq(moat_protect(NULL, theirs, PAGE, RW, &old), MOAT_OK);
    cr_assert_eq(moat_protect(NULL, theirs, PAGE, RWX, &old), MOAT_OK);
    cr_assert_eq(moat_protect(NULL, mine, PAGE, RX, &old), MOAT_CODE_BLOCKED);
    moat_manager_destroy(lax);
}

Test(vm_execute, the_rung_without_markers_is_held_to_it) {
    moat_manager_destroy(manager);
    manager = create(MOAT_EXECUTE_WX, MOAT_TRAP_PROTECT);
    unsigned char *base = reserve(manager, RW, MOAT_RESERVE_COMMIT);
    cr_assert_eq(protect(base, PAGE, RX), MOAT_CODE_BLOCKED);
    cr_assert_eq(moat_decommit(manager, base, PAGE), MOAT_OK);
    cr_assert_eq(moat_commit(manager, base, PAGE, RX, NULL), MOAT_OK);
}

Test(vm_execute, refusals_are_reported_as_misuse) {
    void *start;
    unsigned char *base = reserve(manager, RW, MOAT_RESERVE_COMMIT);
    cr_assert_eq(told, 0);
    cr_assert_eq(protect(base, PAGE, RX), MOAT_CODE_BLOCKED);
    cr_assert_eq(told, 1);
    cr_assert_eq(last_kind, MOAT_FOUND_EXECUTE);
    cr_assert_eq(moat_commit(manager, base, PAGE, RX, NULL), MOAT_CODE_BLOCKED);
    cr_assert_eq(moat_reserve(manager, NULL, SIZE, RWX, 0, &start), MOAT_CODE_BLOCKED);
    cr_assert_eq(told, 3);
    /* With the report made, nothing is held: the function could have called Moat. */
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
}

static __attribute__((noinline)) enum moat_status ask_elsewhere(unsigned char *base) {
    uint32_t old;
    enum moat_status status = moat_protect(manager, base, PAGE, RX, &old);
    return status;
}

/* The place where the host called, and not that of an earlier call. */
Test(vm_execute, a_report_names_the_call_that_was_refused) {
    unsigned char *base = reserve(manager, RW, MOAT_RESERVE_COMMIT);
    struct moat_heap *heap;
    cr_assert_eq(ask_elsewhere(base), MOAT_CODE_BLOCKED);
    cr_assert_not_null(strstr(last_text, "(ask_elsewhere)\n"), "%s", last_text);
    cr_assert_eq(moat_heap_create(manager, MOAT_HEAP_EXECUTABLE, &heap), MOAT_CODE_BLOCKED);
    cr_assert_not_null(strstr(last_text, "in heap create"));
    cr_assert_null(strstr(last_text, "(ask_elsewhere)"), "%s", last_text);
}

/* What Windows answers where ProcessDynamicCodePolicy forbids code. */
Test(vm_execute, win32_answers_1655) {
    DWORD old;
    setenv("MOAT_OPTIONS", "execute=wx", 1);
    SetLastError(0);
    cr_assert_null(VirtualAlloc(NULL, SIZE, MEM_RESERVE, PAGE_EXECUTE_READWRITE));
    cr_assert_eq(GetLastError(), 1655);
    char *base = VirtualAlloc(NULL, SIZE, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    cr_assert_not_null(base);
    SetLastError(0);
    cr_assert_not(VirtualProtect(base, PAGE, PAGE_EXECUTE_READ, &old));
    cr_assert_eq(GetLastError(), 1655);
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SetLastError(0);
    cr_assert_not(VirtualProtect(page, PAGE, PAGE_EXECUTE_READ, &old));
    cr_assert_eq(GetLastError(), 1655);
}
