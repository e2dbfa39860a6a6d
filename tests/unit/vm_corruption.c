/* SPDX-License-Identifier: MIT */
/*
 * Every bit of the books that decides anything is flipped, one in each process: the call that meets
 * it says so, once, with a report; every later one does nothing.
 */
#define _GNU_SOURCE
#include "region/books.h"
#include "region/pages.h"
#include "region/registry.h"
#include "support/regions.h"

#include <moat/mscoree.h>
#include <moat/report.h>
#include <moat/win32.h>

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(vm_corruption, .init = cr_redirect_stderr, .timeout = 600);

enum { REGION = 16 * PAGE, LARGE = 257 << 20 };

static struct moat_manager *manager;
static unsigned char *base, *other;
static struct moat_region_ref ref;

static char report[4096];
static unsigned reports;

static void take_report(const struct moat_finding *finding, void *context) {
    (void)context;
    reports += finding->kind == MOAT_FOUND_CORRUPTION && finding->status == MOAT_CORRUPT;
    snprintf(report, sizeof report, "%s", finding->text);
}

static void scene(size_t size) {
    struct moat_options options;

    moat_options_init(&options);
    options.report_function = take_report;
    cr_assert_eq(moat_manager_create(&options, &manager), MOAT_OK);
    other = reserved(manager, REGION, true);
    base = reserved(manager, size, true);
    cr_assert(moat_region_find_base((uintptr_t)base, &ref));
}

static enum moat_status do_release(void) {
    return moat_release(manager, base);
}

static enum moat_status do_decommit(void) {
    return moat_decommit(manager, base + PAGE, PAGE);
}

static enum moat_status do_commit(void) {
    return moat_commit(manager, base + PAGE, PAGE, MOAT_PAGE_READWRITE, NULL);
}

static enum moat_status do_protect(void) {
    uint32_t old;
    return moat_protect(manager, base + PAGE, PAGE, MOAT_PAGE_READONLY, &old);
}

static enum moat_status do_query(void) {
    struct moat_page_info info;
    return moat_query(base + PAGE, &info);
}

static enum moat_status (*const calls[])(void) = {do_release, do_decommit, do_commit, do_protect,
                                                  do_query};
enum { CALLS = sizeof calls / sizeof calls[0] };

static unsigned number_of(enum moat_status (*call)(void)) {
    unsigned number = 0;
    while (calls[number] != call)
        number++;
    return number;
}

/* In a child, after the damage: 0 if all was as it has to be, else which step was not. */
static int outcome(enum moat_status (*call)(void), const char *text) {
    other[0] = 42;
    if (call() != MOAT_CORRUPT)
        return 1;
    if (reports != 1)
        return 2;
    if (!strstr(report, text) || !strstr(report, "moat: corruption: "))
        return 3;
    if (!strstr(report, "\n  kernel    ") || !strstr(report, "\n  advice    "))
        return 4;
    for (unsigned i = 0; i < CALLS; i++)
        if (calls[i]() != MOAT_UNAVAILABLE)
            return 5;
    if (VirtualFree(other, 0, MEM_RELEASE) || GetLastError() != ERROR_INTERNAL_ERROR)
        return 6;
    return reports != 1 || other[0] != 42 ? 7 : 0;
}

static void expect(void (*damage)(uint64_t), uint64_t argument, enum moat_status (*call)(void),
                   const char *text) {
    int state;

    fflush(NULL);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        damage(argument);
        _exit(outcome(call, text));
    }
    cr_assert_eq(waitpid(child, &state, 0), child);
    cr_assert(WIFEXITED(state) && WEXITSTATUS(state) == 0, "%s, %#lx, call %u: %s %d", text,
              (unsigned long)argument, number_of(call), WIFEXITED(state) ? "step" : "signal",
              WIFEXITED(state) ? WEXITSTATUS(state) : WTERMSIG(state));
}

/* Argument: byte offset in the record << 8 | bit. */
static void flip_record(uint64_t where) {
    unsigned char *bytes = (unsigned char *)ref.region + (where >> 8);
    bytes[(where & 0xFF) / 8] ^= (unsigned char)(1 << (where & 7));
}

static void flip_field(size_t offset, unsigned bits, enum moat_status (*call)(void)) {
    for (unsigned bit = 0; bit < bits; bit++)
        expect(flip_record, offset << 8 | bit, call, "corruption");
}

Test(vm_corruption, a_bit_of_a_record_is_found_by_a_release) {
    scene(REGION);
    flip_field(offsetof(struct moat_region, base), 64, do_release);
    flip_field(offsetof(struct moat_region, size), 64, do_release);
    flip_field(offsetof(struct moat_region, space), 64, do_release);
    flip_field(offsetof(struct moat_region, owner), 64, do_release);
    flip_field(offsetof(struct moat_region, protection), MOAT_REGION_SHOWN_SHIFT, do_release);
    flip_field(offsetof(struct moat_region, link), 32, do_release);
    flip_field(offsetof(struct moat_region, span_start), 64, do_release);
    flip_field(offsetof(struct moat_region, span_end), 64, do_release);
}

Test(vm_corruption, a_bit_of_a_record_is_found_by_every_call) {
    static const size_t offsets[] = {
        offsetof(struct moat_region, base),       offsetof(struct moat_region, size),
        offsetof(struct moat_region, space),      offsetof(struct moat_region, owner),
        offsetof(struct moat_region, span_start), offsetof(struct moat_region, span_end),
        offsetof(struct moat_region, link),       offsetof(struct moat_region, protection),
    };
    scene(REGION);
    for (unsigned call = 0; call < CALLS; call++)
        for (unsigned i = 0; i < sizeof offsets / sizeof offsets[0]; i++)
            for (unsigned bit = 2; bit < (i < 6 ? 64u : 24u); bit += 10)
                expect(flip_record, offsets[i] << 8 | bit, calls[call], "corruption");
}

Test(vm_corruption, a_report_says_what_the_record_says) {
    scene(REGION);
    expect(flip_record, offsetof(struct moat_region, size) << 8 | 13, do_release,
           "the record of a region was changed\n  found     at ");
    expect(flip_record, offsetof(struct moat_region, size) << 8 | 13, do_release,
           ", in release at ");
    expect(flip_record, offsetof(struct moat_region, size) << 8 | 13, do_release,
           ": 73728 bytes at ");
    expect(flip_record, offsetof(struct moat_region, size) << 8 | 13, do_decommit,
           "\n  expected  0x");
}

/* The word of the table that names the region. */
static _Atomic uint64_t *slot_of(uintptr_t address) {
    const struct moat_region_table *table = moat_registry()->table;
    uint64_t array = atomic_load(&table->current);
    struct moat_region_line *lines = moat_region_table_lines(array);
    uint64_t count = UINT64_C(1) << moat_region_table_lines_log2(table);

    for (uint64_t line = 0; line < count; line++)
        for (unsigned slot = 0; slot < MOAT_TABLE_SLOTS; slot++)
            if (atomic_load(&lines[line].slot[slot]) >> MOAT_TABLE_PAGE_SHIFT == address / PAGE)
                return &lines[line].slot[slot];
    cr_assert(false, "the region is in the table");
    return NULL;
}

static void flip_slot(uint64_t bit) {
    atomic_fetch_xor(slot_of((uintptr_t)base), UINT64_C(1) << bit);
}

Test(vm_corruption, a_bit_of_the_table_is_found_by_every_call) {
    scene(REGION);
    for (unsigned call = 0; call < CALLS; call++)
        for (unsigned bit = MOAT_TABLE_HANDLE_SHIFT; bit < 64; bit++)
            expect(flip_slot, bit, calls[call], "corruption: the table ");
}

Test(vm_corruption, a_large_region_that_the_table_lost_is_found) {
    scene(LARGE);
    for (unsigned call = 0; call < CALLS; call++)
        expect(flip_slot, 40, calls[call],
               "corruption: the table does not have a region that there is");
}

static void erase_from_index(uint64_t unused) {
    (void)unused;
    moat_region_index_erase(moat_registry()->index, (uintptr_t)base / PAGE);
}

Test(vm_corruption, a_region_that_the_index_lost_is_found_by_every_call) {
    scene(REGION);
    for (unsigned call = 0; call < CALLS; call++)
        expect(erase_from_index, 0, calls[call],
               "corruption: the index does not have a region that there is");
}

Test(vm_corruption, a_large_region_that_the_index_lost_is_found_by_its_release) {
    scene(LARGE);
    expect(erase_from_index, 0, do_release,
           "corruption: the index does not have a region that there is");
}

static void flip_seed(uint64_t bit) {
    moat_registry()->table->seed[bit / 64] ^= UINT64_C(1) << (bit % 64);
}

static void change_capacity(uint64_t bit) {
    moat_registry()->index->node_capacity ^= UINT32_C(1) << bit;
}

Test(vm_corruption, changed_roots_are_found) {
    scene(REGION);
    for (unsigned bit = 0; bit < 128; bit++)
        expect(flip_seed, bit, do_release, "corruption: ");
    expect(change_capacity, 9, do_release, "corruption: the roots ");
}

/* Argument: the byte of the region's second page. */
static void set_page(uint64_t state) {
    moat_pages_mix(ref.space, moat_space_block(ref.space, ref.base));
    uintptr_t page = (ref.base + PAGE - MOAT_SPACE_FIELD(ref.space, first_block)) / PAGE;
    atomic_store(&MOAT_SPACE_FIELD(ref.space, pages)[page], (uint8_t)state);
}

static void set_block(uint64_t state) {
    size_t block = moat_space_block(ref.space, ref.base);
    atomic_store(&MOAT_SPACE_FIELD(ref.space, uniform)[block], (uint8_t)state);
}

Test(vm_corruption, a_page_that_is_in_no_state_is_found) {
    static const uint8_t states[] = {0x06, 0x07, 0x86, 0x87, 0x20, 0x40, 0x60, 0xE0, 0xFF};
    scene(REGION);
    for (unsigned call = 0; call < CALLS - 1; call++)
        for (unsigned i = 0; i < sizeof states; i++) {
            expect(set_page, states[i], calls[call],
                   "corruption: a page is in a state that there is not");
            expect(set_page, states[i], calls[call], "\n  page      0x");
        }
}

Test(vm_corruption, a_block_that_is_in_no_state_is_found) {
    scene(LARGE);
    for (unsigned call = 0; call < CALLS - 1; call++)
        expect(set_block, 0x86, calls[call], "corruption: a page is in a state that there is not");
}

/* What a wrong pointer finds is no corruption. */
Test(vm_corruption, what_is_not_there_is_not_missing) {
    scene(REGION);
    cr_assert_eq(moat_release(manager, base + PAGE), MOAT_NOT_OURS);
    cr_assert_eq(moat_release(manager, base + REGION), MOAT_NOT_OURS);
    cr_assert_eq(moat_release(manager, base - PAGE), MOAT_NOT_OURS);
    cr_assert_eq(moat_release(manager, &base), MOAT_NOT_OURS);
    cr_assert_eq(moat_release(manager, base), MOAT_OK);
    cr_assert_eq(moat_release(manager, base), MOAT_NOT_OURS);
    cr_assert_eq(moat_decommit(manager, base + PAGE, PAGE), MOAT_NOT_OURS);
    cr_assert_eq(reports, 0u);
}

static void damage_and_release(const char *options) {
    manager = manager_with(options);
    base = reserved(manager, REGION, true);
    cr_assert(moat_region_find_base((uintptr_t)base, &ref));
    flip_record(offsetof(struct moat_region, size) << 8 | 13);
    cr_assert_eq(moat_release(manager, base), MOAT_CORRUPT);
}

Test(vm_corruption, on_standard_error_when_nobody_else_is_told) {
    damage_and_release("");
    FILE *file = cr_get_redirected_stderr();
    char text[64] = "";
    fflush(stderr);
    close(STDERR_FILENO);
    cr_assert_not_null(fgets(text, sizeof text, file));
    cr_assert_str_eq(text, "moat: corruption: the record of a region was changed\n");
}

Test(vm_corruption, nobody_is_told_where_nobody_wants_to_know) {
    damage_and_release("report=off");
    char byte;
    FILE *file = cr_get_redirected_stderr();
    fflush(stderr);
    close(STDERR_FILENO);
    cr_assert_eq(fread(&byte, 1, 1, file), (size_t)0);
}

/* By the word of any manager, also of one that the region is not of. */
Test(vm_corruption, by_option_the_process_ends, .signal = SIGABRT) {
    cr_assert_not_null(manager_with("on_corruption=abort"));
    damage_and_release("");
}

Test(vm_corruption, the_hosting_interface_fails_once) {
    IHostMemoryManager *host;
    void *memory;

    cr_assert_eq(moat_create_host_memory_manager(NULL, &host), S_OK);
    cr_assert_eq(host->lpVtbl->VirtualAlloc(host, NULL, REGION, MEM_COMMIT, PAGE_READWRITE,
                                            eTaskCritical, &memory),
                 S_OK);
    cr_assert(moat_region_find_base((uintptr_t)memory, &ref));
    flip_record(offsetof(struct moat_region, owner) << 8 | 20);
    cr_assert_eq(host->lpVtbl->VirtualFree(host, memory, 0, MEM_RELEASE), E_FAIL);
    cr_assert_eq(host->lpVtbl->VirtualFree(host, memory, 0, MEM_RELEASE), HOST_E_CLRNOTAVAILABLE);
}
