/* SPDX-License-Identifier: MIT */
/*
 * linux_probe: what can this kernel do? Found by doing it, never by its version.
 *
 * Distributions backport, and emulators and filters answer 0 to advice they ignore. So each power
 * is exercised on a scratch page and its effect looked at. Traps are looked for with calls that
 * report EFAULT, never by touching: no signal handler is needed and a lie cannot crash the process.
 * No file is opened: settings are read by whoever needs them, when he does.
 */
#define _GNU_SOURCE
#include "os/annotate.h"
#include "os/linux_internal.h"

#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PATTERN = 0x5A };

/* Whether a page can be written, as the kernel sees it when it stores the time there. The C
 * library's clock_gettime would do so without the kernel, and be killed. */
static bool is_writable(void *page) {
    return syscall(SYS_clock_gettime, CLOCK_MONOTONIC, page) == 0;
}

/* Whether a page can be touched now and holds zeroes (but where the time was stored). */
static bool is_zero(unsigned char *page) {
    if (!is_writable(page))
        return false;
    const volatile uint64_t *words = (const volatile void *)page;
    for (size_t i = sizeof(struct timespec) / sizeof(*words); i < MOAT_LINUX_PAGE / 8; i++)
        if (words[i] != 0)
            return false;
    return true;
}

static bool fill(unsigned char *page) {
    if (!is_writable(page))
        return false;
    memset(page, PATTERN, MOAT_LINUX_PAGE);
    return true;
}

/* Whether a marker on this writable page, already installed, traps, goes away, and took the content
 * with it. */
static bool marker_works(unsigned char *page) {
    if (is_writable(page) || errno != EFAULT)
        return false;
    return moat_os_guard_remove(page, MOAT_LINUX_PAGE) == 0 && is_zero(page);
}

/* On pages with content, and on pages that are inaccessible when marked and opened later: both
 * occur, and the first kernels with markers take only the former. */
static bool try_markers(unsigned char *filled, unsigned char *closed) {
    if (!fill(filled) || moat_os_guard_install(filled, MOAT_LINUX_PAGE) != 0)
        return false;
    if (!marker_works(filled))
        return false;
    if (moat_os_guard_install(closed, MOAT_LINUX_PAGE) != 0)
        return false;
    if (moat_os_protect(closed, MOAT_LINUX_PAGE, MOAT_OS_READ | MOAT_OS_WRITE) != 0)
        return false;
    return marker_works(closed);
}

/* Whether memory is locked from birth (mlockall(MCL_FUTURE)): a page that takes no marker takes one
 * once it is unlocked. */
static bool born_locked(unsigned char *page) {
    return moat_os_guard_install(page, MOAT_LINUX_PAGE) == EINVAL &&
           moat_os_unlock(page, MOAT_LINUX_PAGE) == 0 &&
           moat_os_guard_install(page, MOAT_LINUX_PAGE) == 0;
}

static bool try_discard(unsigned char *page) {
    return fill(page) && moat_os_discard(page, MOAT_LINUX_PAGE) == 0 && is_zero(page);
}

static bool try_look(const unsigned char *closed, const unsigned char *open) {
    return moat_os_look(closed) == MOAT_OS_LOOK_TRAPS &&
           moat_os_look(open) == MOAT_OS_LOOK_READABLE;
}

/* What is sealed stays for ever, so that nothing can be sealed for a trial. A kernel that knows the
 * call accepts to seal nothing; whether it works is looked at by whoever seals something. */
static bool try_seal(unsigned char *page) {
    return moat_os_seal(page, 0) == 0;
}

void moat_os_probe(struct moat_os_powers *powers, bool markers) {
    int saved = errno;
    markers = markers && !moat_annotated();
    *powers = (struct moat_os_powers){0};
    void *base;
    if (moat_os_reserve(2 * MOAT_LINUX_PAGE, MOAT_LINUX_PAGE, &base) == 0) {
        unsigned char *open = base;
        unsigned char *closed = open + MOAT_LINUX_PAGE;
        if (moat_os_protect(open, MOAT_LINUX_PAGE, MOAT_OS_READ | MOAT_OS_WRITE) == 0) {
            powers->look_tells = try_look(closed, open);
            powers->seal = !moat_annotated() && try_seal(open);
            powers->discard_zeroes = try_discard(open);
            powers->guard_markers = markers && try_markers(open, closed);
        }
        if (markers && !powers->guard_markers)
            powers->born_locked = born_locked(open);
        /* At the mapping limit that may be refused, as a part of what it has merged with. */
        if (moat_os_unreserve(base, 2 * MOAT_LINUX_PAGE) != 0) {
            (void)moat_os_protect(base, 2 * MOAT_LINUX_PAGE, MOAT_OS_NONE);
            moat_os_lose(2 * MOAT_LINUX_PAGE);
        }
    }
    errno = saved;
}
