/* SPDX-License-Identifier: MIT */
/*
 * results: what every method of the hosting interfaces can answer, and by which real cause.
 *
 * A cell is a method, a result, and either a scene that makes the one answer the other or the
 * reason why it never does. Each scene is played in a process of its own, because some of them end
 * with everything latched. The cells are also a document: --markdown prints them for HOSTING.md,
 * and a test compares the two.
 */
#define _GNU_SOURCE
#include "support/scenes.h"

#include <moat/space.h>

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct cell cells[] = {
    {"CreateMalloc", S_OK, "a heap, thread-safe or not, executable or not", plain, create_malloc},
    {"CreateMalloc", E_POINTER, "`ppMalloc` is NULL", plain, create_malloc_null},
    {"CreateMalloc", E_INVALIDARG, "a bit of `dwMallocType` that is none of the two", plain,
     create_malloc_bits},
    {"CreateMalloc", E_OUTOFMEMORY, "no memory for its books", no_more_heaps, create_malloc},
    {"CreateMalloc", WIN32_1655, "MALLOC_EXECUTABLE, with the option `execute=wx`", no_new_code,
     create_malloc},
    {"CreateMalloc", HOST_E_CLRNOTAVAILABLE, "the runtime was declared unloaded", unloaded,
     create_malloc},
    {"CreateMalloc", HOST_E_CLRNOTAVAILABLE, "corruption was found before", latched, create_malloc},
    {"CreateMalloc", HOST_E_TIMEOUT, "it waits for nobody", NEVER},
    {"CreateMalloc", HOST_E_ABANDONED, "it waits for nobody", NEVER},
    {"CreateMalloc", HOST_E_NOT_OWNER, "it touches no region that could be locked", NEVER},
    {"CreateMalloc", E_FAIL, "it relies on no region", NEVER},

    {"VirtualAlloc", S_OK, "reserved, committed, reset or protected anew", plain, commit},
    {"VirtualAlloc", E_POINTER, "`ppMem` is NULL", plain, alloc_null},
    {"VirtualAlloc", E_POINTER, "MEM_RESET_UNDO of a page that has no access", plain,
     undo_without_access},
    {"VirtualAlloc", E_INVALIDARG, "a type, protection, size or critical level that is none", plain,
     alloc_invalid},
    {"VirtualAlloc", WIN32_487,
     "to reserve: a page in the way; to commit: not inside one reservation of this manager", plain,
     reserve_over},
    {"VirtualAlloc", E_OUTOFMEMORY,
     "the commit quota is used up; no address space; the kernel's commit or mapping limit",
     quota_full, commit_more},
    {"VirtualAlloc", WIN32_31,
     "MEM_RESET_UNDO: some pages have lost their content, or were never written", plain,
     undo_too_late},
    {"VirtualAlloc", WIN32_1314, "MEM_LARGE_PAGES, and none are set aside on the machine",
     no_large_pages, alloc_large_pages},
    {"VirtualAlloc", WIN32_1655,
     "with the option `execute=wx`: writable and executable, or a committed page executable",
     no_new_code, alloc_code},
    {"VirtualAlloc", HOST_E_CLRNOTAVAILABLE, "the runtime was declared unloaded", unloaded, commit},
    {"VirtualAlloc", HOST_E_CLRNOTAVAILABLE, "corruption was found before", latched, commit},
    {"VirtualAlloc", HOST_E_TIMEOUT, "a commit, while another thread holds the lock of the region",
     locked_for_long, commit},
    {"VirtualAlloc", HOST_E_ABANDONED, "a commit that waits, and waits are called off",
     locked_and_called_off, commit},
    {"VirtualAlloc", HOST_E_ABANDONED,
     "a commit that waits, and the thread that holds the lock ends", locked_until_end, commit},
    {"VirtualAlloc", HOST_E_NOT_OWNER, "a commit waits for a lock instead", NEVER},
    {"VirtualAlloc", E_FAIL, "pages of the region were unmapped behind Moat's back", unmapped,
     commit_readonly},

    {"VirtualFree", S_OK, "released or decommitted: every access traps", plain, release},
    {"VirtualFree", E_INVALIDARG, "another type, MEM_RELEASE with a size, a decommit past the end",
     plain, free_invalid},
    {"VirtualFree", HOST_E_INVALIDOPERATION,
     "an address in no region of this manager, NULL and interior addresses included", plain,
     free_null},
    {"VirtualFree", HOST_E_INVALIDOPERATION, "a second release", plain, release_twice},
    {"VirtualFree", HOST_E_INVALIDOPERATION, "a region of another manager", plain,
     release_of_another},
    {"VirtualFree", HOST_E_INVALIDOPERATION, "memory of a heap, or that the runtime mapped itself",
     plain, release_adopted},
    {"VirtualFree", WIN32_487, "MEM_DECOMMIT with size 0 and an address behind the first page",
     plain, decommit_inside},
    {"VirtualFree", WIN32_487, "the thread that calls runs on these pages, as its stack", plain,
     free_own_stack},
    {"VirtualFree", E_OUTOFMEMORY,
     "without guard markers, at the mapping limit: what does not trap is still owned", at_map_limit,
     decommit_middle},
    {"VirtualFree", HOST_E_CLRNOTAVAILABLE, "the runtime was declared unloaded", unloaded, release},
    {"VirtualFree", HOST_E_CLRNOTAVAILABLE, "corruption was found before", latched, release},
    {"VirtualFree", HOST_E_TIMEOUT,
     "MEM_DECOMMIT, while another thread holds the lock of the region", locked_for_long, decommit},
    {"VirtualFree", HOST_E_ABANDONED, "MEM_DECOMMIT that waits, and waits are called off",
     locked_and_called_off, decommit},
    {"VirtualFree", HOST_E_ABANDONED,
     "MEM_DECOMMIT that waits, and the thread that holds the lock ends", locked_until_end,
     decommit},
    {"VirtualFree", HOST_E_NOT_OWNER,
     "MEM_RELEASE, while another thread holds the lock of the region: at once", locked_for_long,
     release},
    {"VirtualFree", E_FAIL, "pages of the region were unmapped behind Moat's back", unmapped,
     release},
    {"VirtualFree", E_FAIL, "its record was overwritten", record_overwritten, release},

    {"VirtualQuery", S_OK, "for any address of the process", plain, query},
    {"VirtualQuery", E_POINTER, "`pResult` or `lpBuffer` is NULL", plain, query_null},
    {"VirtualQuery", E_INVALIDARG, "an address above user space", plain, query_above},
    {"VirtualQuery", WIN32_24, "the buffer is too short", plain, query_short},
    {"VirtualQuery", HOST_E_CLRNOTAVAILABLE, "the runtime was declared unloaded", unloaded, query},
    {"VirtualQuery", HOST_E_CLRNOTAVAILABLE, "corruption was found before", latched, query},
    {"VirtualQuery", HOST_E_TIMEOUT, "it waits for nobody, not for a lock either", NEVER},
    {"VirtualQuery", HOST_E_ABANDONED, "it waits for nobody, not for a lock either", NEVER},
    {"VirtualQuery", HOST_E_NOT_OWNER, "it needs no lock", NEVER},
    {"VirtualQuery", E_FAIL, "the record of the region was overwritten", record_overwritten, query},

    {"VirtualProtect", S_OK, "committed pages of a region, or memory that is not Moat's", plain,
     protect},
    {"VirtualProtect", E_POINTER, "`pflOldProtect` is NULL", plain, protect_null},
    {"VirtualProtect", E_INVALIDARG, "a protection or size that is none", plain, protect_invalid},
    {"VirtualProtect", WIN32_487,
     "a page is not committed, a hole, of a heap, or one of Moat's own", plain, protect_free},
    {"VirtualProtect", E_OUTOFMEMORY, "at the mapping limit", at_map_limit, protect_middle},
    {"VirtualProtect", WIN32_1655, "with the option `execute=wx`: a right to execute", no_new_code,
     protect_code},
    {"VirtualProtect", HOST_E_CLRNOTAVAILABLE, "the runtime was declared unloaded", unloaded,
     protect},
    {"VirtualProtect", HOST_E_CLRNOTAVAILABLE, "corruption was found before", latched, protect},
    {"VirtualProtect", HOST_E_TIMEOUT, "another thread holds the lock of the region",
     locked_for_long, protect},
    {"VirtualProtect", HOST_E_ABANDONED, "it waits, and waits are called off",
     locked_and_called_off, protect},
    {"VirtualProtect", HOST_E_ABANDONED, "it waits, and the thread that holds the lock ends",
     locked_until_end, protect},
    {"VirtualProtect", HOST_E_NOT_OWNER, "it waits for a lock instead", NEVER},
    {"VirtualProtect", E_FAIL, "pages of the region were unmapped behind Moat's back", unmapped,
     protect},

    {"GetMemoryLoad", S_OK,
     "percent and bytes by the tightest of machine, control groups and quota", plain, memory_load},
    {"GetMemoryLoad", E_POINTER, "a pointer is NULL", plain, memory_load_null},
    {"GetMemoryLoad", HOST_E_CLRNOTAVAILABLE, "the runtime was declared unloaded", unloaded,
     memory_load},
    {"GetMemoryLoad", HOST_E_CLRNOTAVAILABLE, "corruption was found before", latched, memory_load},
    {"GetMemoryLoad", HOST_E_TIMEOUT, "it waits for nobody", NEVER},
    {"GetMemoryLoad", HOST_E_ABANDONED, "it waits for nobody", NEVER},
    {"GetMemoryLoad", HOST_E_NOT_OWNER, "it touches no region that could be locked", NEVER},
    {"GetMemoryLoad", E_FAIL, "it relies on no region", NEVER},

    {"RegisterMemoryNotificationCallback", S_OK, "registered; NULL takes the callback away", plain,
     register_callback},
    {"RegisterMemoryNotificationCallback", E_OUTOFMEMORY, "no memory for a thread",
     no_more_address_space, register_callback},
    {"RegisterMemoryNotificationCallback", HOST_E_CLRNOTAVAILABLE,
     "the runtime was declared unloaded", unloaded, register_callback},
    {"RegisterMemoryNotificationCallback", HOST_E_CLRNOTAVAILABLE, "corruption was found before",
     latched, register_callback},
    {"RegisterMemoryNotificationCallback", HOST_E_TIMEOUT,
     "it waits for a callback in progress only, however long that takes", NEVER},
    {"RegisterMemoryNotificationCallback", HOST_E_ABANDONED, "its wait cannot be called off",
     NEVER},
    {"RegisterMemoryNotificationCallback", HOST_E_NOT_OWNER,
     "it touches no region that could be locked", NEVER},
    {"RegisterMemoryNotificationCallback", E_FAIL, "it relies on no region", NEVER},

    {"NeedsVirtualAddressSpace", S_OK, "address space was given back, or is there: try again",
     plain, needs},
    {"NeedsVirtualAddressSpace", E_OUTOFMEMORY, "there is none to give back, and not enough", plain,
     needs_too_much},
    {"NeedsVirtualAddressSpace", E_INVALIDARG, "a range that leaves user space", plain,
     needs_outside},
    {"NeedsVirtualAddressSpace", HOST_E_CLRNOTAVAILABLE, "the runtime was declared unloaded",
     unloaded, needs},
    {"NeedsVirtualAddressSpace", HOST_E_CLRNOTAVAILABLE, "corruption was found before", latched,
     needs},
    {"NeedsVirtualAddressSpace", HOST_E_TIMEOUT, "it waits for nobody", NEVER},
    {"NeedsVirtualAddressSpace", HOST_E_ABANDONED, "it waits for nobody", NEVER},
    {"NeedsVirtualAddressSpace", HOST_E_NOT_OWNER, "it touches no region that could be locked",
     NEVER},
    {"NeedsVirtualAddressSpace", E_FAIL, "it relies on no region", NEVER},

    {"AcquiredVirtualAddressSpace", S_OK,
     "the range is known: queried as one, refused to free, counted", plain, acquired},
    {"AcquiredVirtualAddressSpace", E_INVALIDARG,
     "size 0, a start that is no multiple of a page, or a range outside user space", plain,
     acquired_nothing},
    {"AcquiredVirtualAddressSpace", WIN32_487,
     "a page of it is in a region, Moat's own, or not mapped", plain, acquired_region},
    {"AcquiredVirtualAddressSpace", E_OUTOFMEMORY, "no memory for its books", no_more_acquired,
     acquired},
    {"AcquiredVirtualAddressSpace", HOST_E_CLRNOTAVAILABLE, "the runtime was declared unloaded",
     unloaded, acquired},
    {"AcquiredVirtualAddressSpace", HOST_E_CLRNOTAVAILABLE, "corruption was found before", latched,
     acquired},
    {"AcquiredVirtualAddressSpace", HOST_E_TIMEOUT, "it waits for nobody", NEVER},
    {"AcquiredVirtualAddressSpace", HOST_E_ABANDONED, "it waits for nobody", NEVER},
    {"AcquiredVirtualAddressSpace", HOST_E_NOT_OWNER, "such a range has no lock", NEVER},
    {"AcquiredVirtualAddressSpace", E_FAIL, "it relies on no region of Moat's", NEVER},

    {"ReleasedVirtualAddressSpace", S_OK, "the range is forgotten; its pages are left alone", plain,
     released},
    {"ReleasedVirtualAddressSpace", HOST_E_INVALIDOPERATION, "no such range was acquired", plain,
     released_unknown},
    {"ReleasedVirtualAddressSpace", HOST_E_CLRNOTAVAILABLE, "the runtime was declared unloaded",
     unloaded, released},
    {"ReleasedVirtualAddressSpace", HOST_E_CLRNOTAVAILABLE, "corruption was found before", latched,
     released},
    {"ReleasedVirtualAddressSpace", HOST_E_TIMEOUT, "such a range has no lock to wait for", NEVER},
    {"ReleasedVirtualAddressSpace", HOST_E_ABANDONED, "such a range has no lock to wait for",
     NEVER},
    {"ReleasedVirtualAddressSpace", HOST_E_NOT_OWNER, "such a range has no lock", NEVER},
    {"ReleasedVirtualAddressSpace", E_FAIL, "it relies on no region of Moat's", NEVER},

    {"IHostMalloc::Alloc", S_OK, "a block; of size 0 too", plain, heap_alloc},
    {"IHostMalloc::Alloc", E_POINTER, "`ppMem` is NULL", plain, heap_alloc_null},
    {"IHostMalloc::Alloc", E_INVALIDARG, "a critical level that is none", plain, heap_alloc_level},
    {"IHostMalloc::Alloc", E_OUTOFMEMORY, "the commit quota is used up, or there is no memory",
     quota_full, heap_alloc_large},
    {"IHostMalloc::Alloc", HOST_E_CLRNOTAVAILABLE, "the runtime was declared unloaded", unloaded,
     heap_alloc},
    {"IHostMalloc::Alloc", HOST_E_CLRNOTAVAILABLE, "corruption was found before", latched,
     heap_alloc},
    {"IHostMalloc::Alloc", HOST_E_TIMEOUT, "it waits for nobody: regions of heaps cannot be locked",
     NEVER},
    {"IHostMalloc::Alloc", HOST_E_ABANDONED,
     "it waits for nobody: regions of heaps cannot be locked", NEVER},
    {"IHostMalloc::Alloc", HOST_E_NOT_OWNER, "regions of heaps cannot be locked", NEVER},
    {"IHostMalloc::Alloc", E_FAIL, "it changes pages of fresh regions only", NEVER},

    {"IHostMalloc::DebugAlloc", S_OK, "a block that remembers file and line", plain,
     heap_debug_alloc},
    {"IHostMalloc::DebugAlloc", E_POINTER, "`ppMem` is NULL", plain, heap_debug_alloc_null},
    {"IHostMalloc::DebugAlloc", E_INVALIDARG, "a critical level that is none", plain,
     heap_debug_alloc_level},
    {"IHostMalloc::DebugAlloc", E_OUTOFMEMORY, "the commit quota is used up, or there is no memory",
     quota_full, heap_debug_alloc_large},
    {"IHostMalloc::DebugAlloc", HOST_E_CLRNOTAVAILABLE, "the runtime was declared unloaded",
     unloaded, heap_debug_alloc},
    {"IHostMalloc::DebugAlloc", HOST_E_CLRNOTAVAILABLE, "corruption was found before", latched,
     heap_debug_alloc},
    {"IHostMalloc::DebugAlloc", HOST_E_TIMEOUT, "as Alloc", NEVER},
    {"IHostMalloc::DebugAlloc", HOST_E_ABANDONED, "as Alloc", NEVER},
    {"IHostMalloc::DebugAlloc", HOST_E_NOT_OWNER, "as Alloc", NEVER},
    {"IHostMalloc::DebugAlloc", E_FAIL, "as Alloc", NEVER},

    {"IHostMalloc::Free", S_OK, "a live block of this very heap; NULL", plain, heap_free},
    {"IHostMalloc::Free", S_OK, "NULL", plain, heap_free_null},
    {"IHostMalloc::Free", HOST_E_INVALIDOPERATION,
     "anything else: foreign, interior, of another heap", plain, heap_free_foreign},
    {"IHostMalloc::Free", HOST_E_INVALIDOPERATION, "a second Free", plain, heap_free_twice},
    {"IHostMalloc::Free", WIN32_487, "a large block that the thread which calls runs on", plain,
     heap_free_own_stack},
    {"IHostMalloc::Free", HOST_E_CLRNOTAVAILABLE, "the runtime was declared unloaded", unloaded,
     heap_free},
    {"IHostMalloc::Free", HOST_E_CLRNOTAVAILABLE, "corruption was found before", latched,
     heap_free},
    {"IHostMalloc::Free", HOST_E_TIMEOUT, "it waits for nobody: regions of heaps cannot be locked",
     NEVER},
    {"IHostMalloc::Free", HOST_E_ABANDONED,
     "it waits for nobody: regions of heaps cannot be locked", NEVER},
    {"IHostMalloc::Free", HOST_E_NOT_OWNER, "regions of heaps cannot be locked", NEVER},
    {"IHostMalloc::Free", E_FAIL, "pages of a large block were unmapped behind Moat's back",
     large_block_unmapped, heap_free},
};

enum { CELLS = sizeof cells / sizeof cells[0], SKIPPED = 77 };

static const struct {
    HRESULT result;
    const char *name;
} names[] = {
    {S_OK, "S_OK"},
    {E_POINTER, "E_POINTER"},
    {E_INVALIDARG, "E_INVALIDARG"},
    {E_OUTOFMEMORY, "E_OUTOFMEMORY"},
    {E_FAIL, "E_FAIL"},
    {HOST_E_INVALIDOPERATION, "HOST_E_INVALIDOPERATION"},
    {HOST_E_CLRNOTAVAILABLE, "HOST_E_CLRNOTAVAILABLE"},
    {HOST_E_TIMEOUT, "HOST_E_TIMEOUT"},
    {HOST_E_NOT_OWNER, "HOST_E_NOT_OWNER"},
    {HOST_E_ABANDONED, "HOST_E_ABANDONED"},
    {WIN32_487, "0x800701E7"},
    {WIN32_24, "0x80070018"},
    {WIN32_31, "0x8007001F"},
    {WIN32_1314, "0x80070522"},
    {WIN32_1655, "0x80070677"},
};

static const char *name_of(HRESULT result) {
    static char number[16];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].result == result)
            return names[i].name;
    snprintf(number, sizeof number, "%#x", (unsigned)result);
    return number;
}

/* Every method documents these. */
static const HRESULT common[] = {
    S_OK, HOST_E_CLRNOTAVAILABLE, HOST_E_TIMEOUT, HOST_E_NOT_OWNER, HOST_E_ABANDONED, E_FAIL};

static bool has_cell(const char *method, HRESULT result) {
    for (size_t i = 0; i < CELLS; i++)
        if (strcmp(cells[i].method, method) == 0 && cells[i].result == result)
            return true;
    return false;
}

static unsigned missing_cells(void) {
    unsigned missing = 0;
    for (size_t i = 0; i < CELLS; i++)
        for (size_t j = 0; j < sizeof common / sizeof common[0]; j++)
            if (!has_cell(cells[i].method, common[j])) {
                printf("FAIL: nothing is said of %s and %s\n", cells[i].method, name_of(common[j]));
                missing++;
            }
    return missing;
}

/* In a process of its own: whether the method gave the result, and the last error and the sentence
 * that go with it. What a scene prints on standard error is its business. */
static int play(const struct cell *cell) {
    char before[256];
    if (!cell->scene())
        return SKIPPED;
    if (moat_disown(NULL, NULL) == MOAT_OK) /* leaves a sentence that no cell does */
        return 1;
    snprintf(before, sizeof before, "%s", moat_last_error_text());
    SetLastError(12345);
    HRESULT got = cell->call();
    DWORD error = GetLastError();
    if (got != cell->result) {
        printf("FAIL: %s, %s: %s instead of %s (%s)\n", cell->method, cell->cause, name_of(got),
               name_of(cell->result), moat_last_error_text());
        return 1;
    }
    if ((got == S_OK) != (error == 12345)) {
        printf("FAIL: %s, %s: last error %u\n", cell->method, cell->cause, (unsigned)error);
        return 1;
    }
    if (got != S_OK && strcmp(moat_last_error_text(), before) == 0) {
        printf("FAIL: %s, %s: no sentence\n", cell->method, cell->cause);
        return 1;
    }
    return 0;
}

static int play_apart(const struct cell *cell) {
    int status;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(1);
        int outcome = play(cell);
        fflush(stdout);
        _exit(outcome);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 1;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    printf("FAIL: %s, %s: ended by signal %d\n", cell->method, cell->cause, WTERMSIG(status));
    return 1;
}

static int print_markdown(void) {
    puts("| method | result | when |\n|---|---|---|");
    for (size_t i = 0; i < CELLS; i++)
        printf("| %s | `%s` | %s%s |\n", cells[i].method, name_of(cells[i].result),
               cells[i].scene ? "" : "never: ", cells[i].cause);
    return 0;
}

int main(int argc, char **argv) {
    unsigned played = 0, skipped = 0, failed = 0;

    if (argc > 1 && strcmp(argv[1], "--markdown") == 0)
        return print_markdown();
    failed = missing_cells();
    for (size_t i = 0; i < CELLS; i++) {
        if (!cells[i].scene)
            continue;
        int outcome = play_apart(&cells[i]);
        played++;
        if (outcome == SKIPPED) {
            printf("skipped: %s, %s: not to be had here\n", cells[i].method, cells[i].cause);
            skipped++;
        } else if (outcome != 0) {
            failed++;
        }
    }
    printf("%u cells played, %u skipped, %u failed\n", played, skipped, failed);
    return failed != 0;
}
