/* SPDX-License-Identifier: MIT */
/*
 * linux_internal: what the files of the Linux os layer share, and what its tests force.
 *
 * Nothing outside src/os and its tests includes this.
 */
#ifndef MOAT_OS_LINUX_INTERNAL_H
#define MOAT_OS_LINUX_INTERNAL_H

#include "os/os.h"

#include <moat/moat.h>

#include <errno.h>

/* The page of os.h. The kernel's own, moat_os_page(), may be smaller. */
#define MOAT_LINUX_PAGE MOAT_PAGE_SIZE

/* What the second argument of ioctl is declared as; the kernel takes the lower 32 bits. */
#ifdef __GLIBC__
#define MOAT_LINUX_REQUEST unsigned long
#else
#define MOAT_LINUX_REQUEST int
#endif

/* Turn the outcome of a system call (negative: see errno) into the result of an os call, and give
 * the caller its errno back. */
static inline int moat_linux_result(long outcome, int saved_errno) {
    int error = outcome < 0 ? errno : 0;
    errno = saved_errno;
    return error;
}

/* Open the maps file of this process for one answer. The result is a file descriptor, or a negative
 * errno value, ENOSYS when there is no such file. Changes errno. */
int moat_linux_maps_open(void);

/* The two rungs of moat_os_query, on a file just opened. Both change errno.
 *
 * query_ask   PROCMAP_QUERY; ENOTTY or EINVAL when this kernel does not have it
 * query_read  reads the text, from the start of the file */
int moat_linux_query_ask(int maps, uintptr_t address, struct moat_os_mapping *mapping);
int moat_linux_query_read(int maps, uintptr_t address, struct moat_os_mapping *mapping);

/* As query_ask, but always a mapping: the one that covers the address or the next one; `mapped` is
 * false if there is none. Changes errno. */
int moat_linux_query_next(int maps, uintptr_t address, struct moat_os_mapping *mapping);

/* The same two for a mapping with the name that it has in the list, which is cut to fit; "" when it
 * has none. */
int moat_linux_name_ask(int maps, uintptr_t address, struct moat_os_mapping *mapping, char *name,
                        size_t size);
int moat_linux_name_read(int maps, uintptr_t address, struct moat_os_mapping *mapping, char *name,
                         size_t size);

/* Visit every mapping that the text names, from the start of the file and in ascending order, until
 * a visit answers false. 0 or errno; ENOSYS: the text is empty. Changes errno. */
int moat_linux_maps_each(int maps,
                         bool (*visit)(const struct moat_os_mapping *mapping, void *context),
                         void *context);

/* Shape an answer: the mapping that the kernel named, or the hole before it. `mapping` holds what
 * was found at or after `address`; with `mapped` false, nothing was. */
void moat_linux_query_finish(uintptr_t address, struct moat_os_mapping *mapping);

#endif
