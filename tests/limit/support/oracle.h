/* SPDX-License-Identifier: MIT */
/*
 * oracle: is what the books say of pages what the kernel does with them?
 *
 * Two witnesses that know nothing of each other: transfers by the kernel, which end with EFAULT
 * where an access would trap (no signal, no trace in the content), and what the kernel tells of
 * its mappings and markers (PROCMAP_QUERY, PAGEMAP_SCAN). Works at every limit: nothing is mapped.
 */
#ifndef MOAT_TESTS_LIMIT_ORACLE_H
#define MOAT_TESTS_LIMIT_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAGE = MOAT_PAGE_BYTES };

/* Whether none of the pages can be read or written. On no, *page is one that can. */
bool oracle_all_trap(uintptr_t start, size_t pages, uintptr_t *page);

/* Whether every page can be used as its state in the books says, by both witnesses. On no, says so
 * on standard error. */
bool oracle_books_hold(uintptr_t start, size_t pages);

/* Whether the kernel can be asked for mappings and markers; without, the transfers alone decide. */
bool oracle_sees_markers(void);

#endif
