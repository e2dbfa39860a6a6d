/* SPDX-License-Identifier: MIT */
/*
 * probe: can a page be read or written, as the kernel sees it, without a signal and without leaving
 * a trace in its content?
 */
#ifndef MOAT_TESTS_FUZZ_PROBE_H
#define MOAT_TESTS_FUZZ_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many of the first `count` pages from `start` on, in a row, can be read; or written. */
size_t probe_readable(uintptr_t start, size_t count);
size_t probe_writable(uintptr_t start, size_t count);

/* What a write to a page should do. One that succeeds is a write like any other. */
enum probe_write { PROBE_REFUSED, PROBE_ALLOWED, PROBE_NOT_TRIED };

/* Whether all of these pages can be read and written as given. On no, *page is one that cannot. */
bool probe_expect(uintptr_t start, size_t count, bool readable, enum probe_write write,
                  uintptr_t *page);

#endif
