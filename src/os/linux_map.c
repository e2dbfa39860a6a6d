/* SPDX-License-Identifier: MIT */
/*
 * linux_map: reserve, protect, drop and give back pages by mmap and its kin.
 *
 * Reservations are made without MAP_NORESERVE: no access means no charge anyway, and a commit that
 * the machine could never back is then refused when it is asked for, as on Windows, instead of
 * killing the process when the pages are touched. Arenas with markers are the exception: there the
 * kernel would charge every page of an open block, committed or not.
 */
#define _GNU_SOURCE
#include "base/align.h"
#include "os/linux_internal.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef SYS_mseal
#define SYS_mseal 462 /* on every architecture */
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

static _Atomic uint64_t lost;

uint64_t moat_os_lost(void) {
    /* relaxed: a statistic. */
    return atomic_load_explicit(&lost, memory_order_relaxed);
}

void moat_os_lose(size_t size) {
    /* relaxed: as above. */
    atomic_fetch_add_explicit(&lost, size, memory_order_relaxed);
}

static void *map_nothing(void *hint, size_t size, int flags) {
    return mmap(hint, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

/* Cut [start, start + size) down to [keep, keep + keep_size). On failure nothing is kept. */
static int trim(char *start, size_t size, char *keep, size_t keep_size) {
    size_t head = (size_t)(keep - start);
    size_t tail = size - head - keep_size;
    if (head != 0 && munmap(start, head) != 0)
        goto fail;
    start += head;
    size -= head;
    if (tail != 0 && munmap(keep + keep_size, tail) != 0)
        goto fail;
    return 0;

fail:;
    /* At the mapping limit, when the kernel merged the range with a neighbour. Unmapping all of it
     * may then fail too: inaccessible address space is lost, nothing else. */
    int error = errno;
    moat_os_give_up(start, size);
    return error;
}

int moat_os_reserve(size_t size, size_t alignment, void **base) {
    int saved = errno;
    size_t slack = alignment - moat_os_page();
    uintptr_t padded;
    if (!moat_add_checked(size, slack, &padded))
        return ENOMEM;
    char *start = map_nothing(NULL, padded, 0);
    if (start == MAP_FAILED)
        return moat_linux_result(-1, saved);
    char *aligned = start + (moat_round_up((uintptr_t)start, alignment) - (uintptr_t)start);
    int error = trim(start, padded, aligned, size);
    if (error == 0)
        *base = aligned;
    errno = saved;
    return error;
}

int moat_os_reserve_at(void *base, size_t size) {
    int saved = errno;
    void *start = map_nothing(base, size, MAP_FIXED_NOREPLACE);
    if (start == MAP_FAILED)
        return moat_linux_result(-1, saved);
    if (start == base)
        return 0;
    /* Before Linux 4.17 the flag is unknown and the address a hint that was not taken. */
    moat_os_give_up(start, size);
    errno = saved;
    return EEXIST;
}

/* The kernel checks every limit before it takes the old mapping away. */
int moat_os_reserve_over(void *base, size_t size) {
    int saved = errno;
    void *start = map_nothing(base, size, MAP_FIXED);
    return moat_linux_result(start == MAP_FAILED ? -1 : 0, saved);
}

int moat_os_uncharge(void *base, size_t size) {
    int saved = errno;
    void *start = map_nothing(base, size, MAP_FIXED | MAP_NORESERVE);
    return moat_linux_result(start == MAP_FAILED ? -1 : 0, saved);
}

/* Whether address space or writable memory is bounded, or may be. */
static bool is_limited(void) {
    struct rlimit space, data;
    return getrlimit(RLIMIT_AS, &space) != 0 || getrlimit(RLIMIT_DATA, &data) != 0 ||
           space.rlim_cur != RLIM_INFINITY || data.rlim_cur != RLIM_INFINITY;
}

/* What is left behind is counted as one more mapping, after the one at `to` was taken away: a limit
 * that is reached would leave a hole there, and nothing to fill it with. */
int moat_os_move(void *from, void *to, size_t size) {
    int saved = errno;
    if (is_limited()) {
        errno = saved;
        return ENOTSUP;
    }
    int how = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
    return moat_linux_result(mremap(from, size, size, how, to) == MAP_FAILED ? -1 : 0, saved);
}

int moat_os_unreserve(void *base, size_t size) {
    int saved = errno;
    return moat_linux_result(munmap(base, size), saved);
}

void moat_os_give_up(void *base, size_t size) {
    if (moat_os_unreserve(base, size) != 0)
        moat_os_lose(size);
}

int moat_os_protect(void *start, size_t size, unsigned access) {
    int saved = errno;
    int protection = PROT_NONE;
    if ((access & MOAT_OS_READ) != 0)
        protection |= PROT_READ;
    if ((access & MOAT_OS_WRITE) != 0)
        protection |= PROT_WRITE;
    if ((access & MOAT_OS_EXECUTE) != 0)
        protection |= PROT_EXEC;
    return moat_linux_result(mprotect(start, size, protection), saved);
}

int moat_os_seal(void *start, size_t size) {
    int saved = errno;
    return moat_linux_result(syscall(SYS_mseal, start, size, 0UL), saved);
}

int moat_os_discard(void *start, size_t size) {
    int saved = errno;
    int outcome = madvise(start, size, MADV_DONTNEED);
    /* Plain MADV_DONTNEED refuses locked memory. */
    if (outcome != 0 && errno == EINVAL)
        outcome = madvise(start, size, MADV_DONTNEED_LOCKED);
    return moat_linux_result(outcome, saved);
}

void moat_os_flush_code(const void *start, size_t size) {
    char *first = (char *)(uintptr_t)start;
    __builtin___clear_cache(first, first + size);
}

int moat_os_lock(void *start, size_t size) {
    int saved = errno;
    return moat_linux_result(mlock(start, size), saved);
}

int moat_os_unlock(void *start, size_t size) {
    int saved = errno;
    return moat_linux_result(munlock(start, size), saved);
}

int moat_os_reset(void *start, size_t size) {
    int saved = errno;
    return moat_linux_result(madvise(start, size, MADV_FREE), saved);
}

int moat_os_keep_from_fork(void *start, size_t size) {
    int saved = errno;
    return moat_linux_result(madvise(start, size, MADV_DONTFORK), saved);
}

int moat_os_huge_pages(void *start, size_t size) {
    int saved = errno;
    return moat_linux_result(madvise(start, size, MADV_HUGEPAGE), saved);
}

int moat_os_dump_exclude(void *start, size_t size) {
    int saved = errno;
    return moat_linux_result(madvise(start, size, MADV_DONTDUMP), saved);
}

int moat_os_dump_include(void *start, size_t size) {
    int saved = errno;
    return moat_linux_result(madvise(start, size, MADV_DODUMP), saved);
}

/* Mappings that differ in a flag are not merged. This one means nothing to anonymous memory. */
int moat_os_sever(void *start, size_t size) {
    int saved = errno;
    return moat_linux_result(madvise(start, size, MADV_RANDOM), saved);
}

int moat_os_rejoin(void *start, size_t size) {
    int saved = errno;
    return moat_linux_result(madvise(start, size, MADV_NORMAL), saved);
}
