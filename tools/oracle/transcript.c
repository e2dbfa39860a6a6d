/* SPDX-License-Identifier: MIT */
/*
 * transcript: random calls of the VirtualAlloc family in one megabyte, write watch, page locks and
 * touched guard pages among them, printed with their results and a digest of all that VirtualQuery
 * and the bytes then say.
 *
 *   transcript <seed> <count> <base>     <base> in hexadecimal; 0: anywhere
 *
 * Two implementations of the contract print the same. What the contract leaves open, or where Wine
 * is known to differ, is not printed: which of 87 and 487 a refusal is, the content of pages after
 * MEM_RESET, runs of reserved pages, and NOCACHE on pages that are NOACCESS. Records of write watch
 * are reset wherever content goes or pages are locked, because Wine keeps them over a decommit; and
 * pages are locked one by one, never a guard, because Wine's lock knows no reservations, and are
 * unlocked at once. What Wine 8 does not have at all is left to the contract tests: placeholders,
 * MEM_RESET_UNDO and DiscardVirtualMemory.
 */
#ifdef _WIN32
#include <windows.h>
#else
#include <moat/fault.h>
#include <moat/win32.h>
#endif

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE       ((SIZE_T)4096)
#define GRANULE    ((SIZE_T)65536)
#define PAGE_COUNT 256
#define SIZE       (PAGE_COUNT * PAGE)

static BYTE *base;
static uint64_t generator;
static uint64_t digest;
static BOOL content_unknown[PAGE_COUNT];

/* Of the guards that went off. */
static volatile unsigned guard_count;
static BYTE *volatile guard_address;

/* Marsaglia's xorshift64. */
static uint32_t draw(uint32_t limit) {
    generator ^= generator << 13;
    generator ^= generator >> 7;
    generator ^= generator << 17;
    return (uint32_t)(generator >> 11) % limit;
}

/* FNV-1a, a word at a time. */
static void digest_add(uint64_t value) {
    digest = (digest ^ value) * UINT64_C(1099511628211);
}

static DWORD comparable(DWORD protection) {
    return protection == (PAGE_NOACCESS | PAGE_NOCACHE) ? PAGE_NOACCESS : protection;
}

static BOOL is_readable(DWORD protection) {
    return (protection & (PAGE_NOACCESS | PAGE_GUARD)) == 0;
}

static BOOL is_writable(DWORD protection) {
    return (protection & (PAGE_READWRITE | PAGE_EXECUTE_READWRITE)) != 0 && is_readable(protection);
}

/* What can be seen of a page; some pages are written for a later look. */
static void look_at(unsigned index, BYTE mark) {
    BYTE *page = base + index * PAGE;
    MEMORY_BASIC_INFORMATION info;

    if (VirtualQuery(page, &info, sizeof info) == 0)
        exit(EXIT_FAILURE);
    digest_add(info.State);
    digest_add(comparable(info.Protect));
    digest_add(info.Type);
    if (info.State != MEM_COMMIT)
        content_unknown[index] = FALSE;
    if (info.State == MEM_FREE)
        return;
    digest_add((uint64_t)((BYTE *)info.AllocationBase - base));
    digest_add(info.AllocationProtect);
    if (info.State != MEM_COMMIT)
        return;
    digest_add(info.RegionSize);
    if (is_readable(info.Protect) && !content_unknown[index])
        digest_add(page[5]);
    if (is_writable(info.Protect) && draw(4) == 0) {
        page[5] = mark;
        content_unknown[index] = FALSE;
    }
}

static SIZE_T draw_size(void) {
    switch (draw(5)) {
    case 0:
        return 1 + draw(10);
    case 1:
        return PAGE * (1 + draw(4));
    case 2:
        return 1 + draw(3 * PAGE);
    case 3:
        return GRANULE * (1 + draw(4));
    default:
        return 1 + draw(20 * PAGE);
    }
}

static SIZE_T draw_offset(void) {
    SIZE_T offset = draw(SIZE);
    switch (draw(4)) {
    case 0:
        return offset / GRANULE * GRANULE;
    case 1:
        return offset / PAGE * PAGE;
    default:
        return offset;
    }
}

/* An address in the first two pages of the reservation at `offset`, if there is one. */
static SIZE_T near_its_base(SIZE_T offset) {
    MEMORY_BASIC_INFORMATION info;
    VirtualQuery(base + offset, &info, sizeof info);
    if (info.State == MEM_FREE)
        return offset;
    return (SIZE_T)((BYTE *)info.AllocationBase - base) + draw(2 * PAGE);
}

static void report(const char *call, SIZE_T offset, SIZE_T size, BOOL succeeded, uint64_t value) {
    DWORD error = GetLastError();
    const char *result = "other";

    if (succeeded)
        result = "ok";
    else if (error == ERROR_INVALID_PARAMETER || error == ERROR_INVALID_ADDRESS)
        result = "refused";
    printf("%s %#" PRIx64 " %#" PRIx64 ": %s %" PRIx64, call, (uint64_t)offset, (uint64_t)size,
           result, succeeded ? value : 0);
}

/* Page by page, so that none is refused for its end; and all the same where nothing is watched. */
static void forget_writes(SIZE_T offset, SIZE_T size) {
    for (SIZE_T at = offset / PAGE * PAGE; at < offset + size && at < SIZE; at += PAGE)
        ResetWriteWatch(base + at, PAGE);
}

static void alloc(const char *call, SIZE_T offset, SIZE_T size, DWORD type, DWORD protection) {
    BYTE *start = VirtualAlloc(base + offset, size, type, protection);
    report(call, offset, size, start != NULL, (uint64_t)(start - base));
    if (start == NULL || type != MEM_RESET)
        return;
    forget_writes(offset, size);
    for (SIZE_T at = offset / PAGE; at <= (offset + size - 1) / PAGE && at < PAGE_COUNT; at++)
        content_unknown[at] = TRUE;
}

/* --- Guards --- */

#ifdef _WIN32
static LONG CALLBACK hear(EXCEPTION_POINTERS *told) {
    const EXCEPTION_RECORD *record = told->ExceptionRecord;
    if (record->ExceptionCode != STATUS_GUARD_PAGE_VIOLATION)
        return EXCEPTION_CONTINUE_SEARCH;
    guard_count++;
    guard_address = (BYTE *)record->ExceptionInformation[1];
    return EXCEPTION_CONTINUE_EXECUTION;
}

static BOOL listen_to_guards(void) {
    return AddVectoredExceptionHandler(1, hear) != NULL;
}
#else
static void hear(const struct moat_fault *told, void *context) {
    (void)context;
    guard_count++;
    guard_address = told->address;
}

static BOOL listen_to_guards(void) {
    return moat_fault_handler_install(hear, NULL) == MOAT_OK;
}
#endif

/* Read a byte that can be read, perhaps once a guard went off. */
static void touch(SIZE_T offset) {
    MEMORY_BASIC_INFORMATION info;

    VirtualQuery(base + offset, &info, sizeof info);
    printf("touch %#" PRIx64 ": ", (uint64_t)offset);
    if (info.State != MEM_COMMIT || (info.Protect & PAGE_NOACCESS) != 0) {
        printf("none");
        return;
    }
    guard_count = 0;
    guard_address = base;
    (void)*(volatile BYTE *)(base + offset);
    printf("%u guards, %#" PRIx64, guard_count, (uint64_t)(guard_address - base));
}

/* --- Write watch and locks --- */

static void watch(SIZE_T offset, SIZE_T size) {
    PVOID found[PAGE_COUNT];
    ULONG_PTR room = draw(2) ? PAGE_COUNT : draw(12), count = room;
    DWORD flags = draw(3) ? WRITE_WATCH_FLAG_RESET : 0, granularity = 0;
    BOOL done = GetWriteWatch(flags, base + offset, size, found, &count, &granularity) == 0;

    report("watch", offset, size, done, done ? count : 0);
    for (ULONG_PTR i = 0; done && i < count; i++)
        digest_add((uint64_t)((BYTE *)found[i] - base));
    digest_add(done ? granularity : 0);
}

static void lock(SIZE_T offset) {
    MEMORY_BASIC_INFORMATION info;

    VirtualQuery(base + offset, &info, sizeof info);
    if ((info.State == MEM_COMMIT && (info.Protect & PAGE_GUARD) != 0)) {
        printf("lock of a guard");
        return;
    }
    BOOL done = VirtualLock(base + offset, 1);
    report("lock", offset, 1, done, done ? (uint64_t)VirtualUnlock(base + offset, 1) : 0);
    forget_writes(offset, 1);
}

/* --- A call --- */

static void reserve(SIZE_T offset, SIZE_T size, DWORD protection) {
    static const DWORD types[] = {MEM_RESERVE, MEM_RESERVE | MEM_COMMIT,
                                  MEM_RESERVE | MEM_WRITE_WATCH,
                                  MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH | MEM_TOP_DOWN};
    /* Within the megabyte: what lies behind it is not the same everywhere. */
    if (offset + size > SIZE)
        size = SIZE - offset;
    alloc("reserve", offset, size, types[draw(4)], protection);
}

static void step(void) {
    static const DWORD protections[] = {PAGE_NOACCESS,
                                        PAGE_READONLY,
                                        PAGE_READWRITE,
                                        PAGE_EXECUTE,
                                        PAGE_EXECUTE_READ,
                                        PAGE_EXECUTE_READWRITE,
                                        PAGE_READWRITE,
                                        PAGE_READWRITE | PAGE_GUARD,
                                        PAGE_READONLY | PAGE_GUARD,
                                        PAGE_READWRITE | PAGE_NOCACHE};
    SIZE_T offset = draw_offset(), size = draw_size();
    DWORD protection = protections[draw(sizeof protections / sizeof *protections)], old = 0;
    uint32_t call = draw(28);

    if (call < 4) {
        reserve(offset, size, protection);
    } else if (call < 10) {
        alloc("commit", offset, size, MEM_COMMIT, protection);
    } else if (call < 12) {
        alloc("reset", offset, size, MEM_RESET, protection);
    } else if (call < 14) {
        size = draw(8) == 0 ? 0 : size;
        BOOL done = VirtualFree(base + offset, size, MEM_DECOMMIT);
        report("decommit", offset, size, done, 0);
        if (done)
            forget_writes(size ? offset : 0, size ? size : SIZE);
    } else if (call < 15) {
        offset = near_its_base(offset);
        BOOL done = VirtualFree(base + offset, 0, MEM_RELEASE);
        report("release", offset, 0, done, 0);
    } else if (call < 16) {
        lock(offset);
    } else if (call < 18) {
        touch(offset);
    } else if (call < 22) {
        watch(offset, size);
    } else if (call < 23) {
        BOOL done = ResetWriteWatch(base + offset, size) == 0;
        report("watch reset", offset, size, done, 0);
    } else {
        BOOL done = VirtualProtect(base + offset, size, protection, &old);
        report("protect", offset, size, done, comparable(old));
    }
}

int main(int argc, char **argv) {
    if (argc != 4)
        return EXIT_FAILURE;
    if (!listen_to_guards())
        return EXIT_FAILURE;
    generator = strtoull(argv[1], NULL, 10) * UINT64_C(0x9E3779B97F4A7C15) + 1;
    base = (BYTE *)(uintptr_t)strtoull(argv[3], NULL, 16);
    if (base == NULL) {
        base = VirtualAlloc(NULL, SIZE + GRANULE, MEM_RESERVE, PAGE_NOACCESS);
        VirtualFree(base, 0, MEM_RELEASE);
    }
    for (unsigned i = 0, count = (unsigned)strtoul(argv[2], NULL, 10); i < count; i++) {
        printf("%u ", i);
        step();
        for (unsigned index = 0; index < PAGE_COUNT; index++)
            look_at(index, (BYTE)i);
        printf(" %016" PRIx64 "\n", digest);
    }
    return EXIT_SUCCESS;
}
