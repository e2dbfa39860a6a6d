/* SPDX-License-Identifier: MIT */
/*
 * probe: what an allocator does with wrong accesses, tried after it has warmed up.
 *
 * Each question is put to a forked child. Pages are asked by handing them to the kernel, which
 * answers EFAULT where an access would trap; one real access proves that it then does.
 */
#ifndef MOAT_WORKER_PROBE_H
#define MOAT_WORKER_PROBE_H

#include "allocator.h"

/*
 * Print the answers for regions of `size` bytes behind a tab each, as name=words, and a newline:
 *
 *   after_free    at once | later | partly | no      a read of each page after its region is freed
 *   before        at once | after N pages | no       the nearest trap before the start, of 16 pages
 *   past          the same                           past the end
 *   zero          yes | no                           memory that was used before
 *   double_free   refused | silent | given out twice | signal NAME | silent, later signal NAME |
 *                 hangs
 */
void probe(const struct allocator *allocator, size_t size);

#endif
