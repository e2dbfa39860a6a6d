/* SPDX-License-Identifier: MIT */
/* range: the argument rules that all calls share, as Win32 has them; how failures are told. */
#ifndef MOAT_VM_RANGE_H
#define MOAT_VM_RANGE_H

#include "region/latch.h"
#include "region/region.h"

#include <moat/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pages that a call is about. */
struct moat_range {
    uintptr_t start;
    uintptr_t end;
};

/* Exactly one basic protection, and at most one modifier that goes with it. */
bool moat_protection_valid(uint32_t protection);

/* [address, address + size) rounded out to pages; false if it is empty, wraps or passes `limit`. */
bool moat_range_of(uintptr_t address, size_t size, uintptr_t limit, struct moat_range *range);

/* Whether a range lies in the region; it starts there. */
static inline bool moat_range_fits(const struct moat_range *range,
                                   const struct moat_region_ref *ref) {
    return range->end <= ref->base + ref->size;
}

/*
 * The protection that is reported of a committed page: NOCACHE belongs to the reservation.
 */
uint32_t moat_protection_seen(uint8_t state, uint32_t reserved_with);

/*
 * Leave a sentence for moat_last_error_text and return the status; `what` names the call, and both
 * strings live for ever. A call that has found corruption ends with MOAT_CORRUPT instead, whatever
 * else it stumbled over.
 */
enum moat_status moat_fail(enum moat_status status, const char *what, uintptr_t address,
                           const char *why);

/* The same for a wait that ended with MOAT_TIMEOUT or MOAT_ABANDONED. */
enum moat_status moat_fail_wait(enum moat_status status, const char *what, uintptr_t address);

/* The same for any call after corruption was found. */
enum moat_status moat_fail_latched(const char *what, uintptr_t address);

/* The same for a refusal of the kernel, with the limit that was hit. */
enum moat_status moat_fail_kernel(int error, enum moat_status otherwise, const char *what,
                                  uintptr_t address);

/* The same, for a call that needed so many bytes. */
enum moat_status moat_fail_sized(int error, enum moat_status otherwise, const char *what,
                                 uintptr_t address, size_t size);

/* The same for address space that could not be had: MOAT_NO_MEMORY or MOAT_MAP_LIMIT. */
enum moat_status moat_fail_place(enum moat_status status, const char *what, uintptr_t address,
                                 size_t size);

/* The same where there is no memory for Moat's own books; returns `status`. */
enum moat_status moat_fail_books(enum moat_status status, const char *what, uintptr_t address);

/* The same where the refusal is about pages of a region. Looks whether they are still there: that
 * they are not, or are somebody else's, is corruption. */
enum moat_status moat_fail_pages(int error, enum moat_status otherwise, const char *what,
                                 const struct moat_range *range);

#endif
