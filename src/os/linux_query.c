/* SPDX-License-Identifier: MIT */
/*
 * linux_query: what is mapped at an address of this process?
 *
 * The file is opened and closed by every call, so nothing is inherited over fork, where it would
 * answer for the parent. Everything here is async-signal-safe: no stdio, no allocation, no lock.
 */
#define _GNU_SOURCE
#include "base/align.h"
#include "os/linux_internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* linux/fs.h has these from 6.11 on; building must not need headers that new. */
struct map_question {
    uint64_t size;
    uint64_t flags;
    uint64_t address;
    uint64_t start;
    uint64_t end;
    uint64_t access;
    uint64_t page_size;
    uint64_t offset;
    uint64_t inode;
    uint32_t device_major;
    uint32_t device_minor;
    uint32_t name_size;
    uint32_t build_id_size;
    uint64_t name;
    uint64_t build_id;
};
_Static_assert(sizeof(struct map_question) == 104, "the kernel's struct procmap_query");

#define ASK_MAP _IOWR('f', 17, struct map_question)

enum { COVERING_OR_NEXT = 0x10 };
enum { IS_READABLE = 1, IS_WRITABLE = 2, IS_EXECUTABLE = 4, IS_SHARED = 8 };

int moat_linux_maps_open(void) {
    /* Once its first thread has exited, /proc/self of a living process is empty: /proc/thread-self
     * is not. Older kernels and sandboxes may have only the former. */
    int maps = open("/proc/thread-self/maps", O_RDONLY | O_CLOEXEC);
    if (maps < 0 && errno == ENOENT)
        maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (maps < 0)
        return errno == ENOENT ? -ENOSYS : -errno;
    return maps;
}

void moat_linux_query_finish(uintptr_t address, struct moat_os_mapping *mapping) {
    if (mapping->mapped && mapping->end > MOAT_OS_ADDRESS_END)
        mapping->end = MOAT_OS_ADDRESS_END;
    if (mapping->mapped && mapping->start <= address)
        return;
    /* A hole of user space ends with it, though more may be unmapped behind. */
    uintptr_t limit = address < MOAT_OS_USER_END ? MOAT_OS_USER_END : MOAT_OS_ADDRESS_END;
    uintptr_t end = mapping->mapped && mapping->start < limit ? mapping->start : limit;
    *mapping = (struct moat_os_mapping){
        .start = moat_round_down(address, MOAT_LINUX_PAGE),
        .end = end,
    };
}

/* The mapping at the address or the next one, and its name if there is room for one. */
static int ask(int maps, uintptr_t address, struct moat_os_mapping *mapping, char *name,
               size_t size) {
    struct map_question question;
    memset(&question, 0, sizeof question);
    question.size = sizeof question;
    question.flags = COVERING_OR_NEXT;
    question.address = address;
    question.name = (uintptr_t)name;
    question.name_size = (uint32_t)size;
    *mapping = (struct moat_os_mapping){0};
    if (ioctl(maps, (MOAT_LINUX_REQUEST)ASK_MAP, &question) != 0) {
        if (errno != ENOENT)
            return errno;
    } else {
        mapping->mapped = true;
        mapping->start = (uintptr_t)question.start;
        mapping->end = (uintptr_t)question.end;
        mapping->access = ((question.access & IS_READABLE) != 0 ? MOAT_OS_READ : 0u) |
                          ((question.access & IS_WRITABLE) != 0 ? MOAT_OS_WRITE : 0u) |
                          ((question.access & IS_EXECUTABLE) != 0 ? MOAT_OS_EXECUTE : 0u);
        mapping->shared = (question.access & IS_SHARED) != 0;
        mapping->file = question.inode != 0;
        mapping->device = (uint64_t)question.device_major << 32 | question.device_minor;
        mapping->inode = question.inode;
        mapping->offset = question.offset;
    }
    if (size > 0 && question.name_size == 0)
        name[0] = '\0';
    return 0;
}

int moat_linux_query_next(int maps, uintptr_t address, struct moat_os_mapping *mapping) {
    return ask(maps, address, mapping, NULL, 0);
}

int moat_linux_name_ask(int maps, uintptr_t address, struct moat_os_mapping *mapping, char *name,
                        size_t size) {
    int error = ask(maps, address, mapping, name, size);
    if (error == 0)
        moat_linux_query_finish(address, mapping);
    return error;
}

int moat_linux_query_ask(int maps, uintptr_t address, struct moat_os_mapping *mapping) {
    int error = moat_linux_query_next(maps, address, mapping);
    if (error == 0)
        moat_linux_query_finish(address, mapping);
    return error;
}

int moat_os_query(uintptr_t address, struct moat_os_mapping *mapping) {
    if (address >= MOAT_OS_ADDRESS_END)
        return EINVAL;
    int saved = errno;
    int error;
    int maps = moat_linux_maps_open();
    if (maps < 0) {
        error = -maps;
    } else {
        error = moat_linux_query_ask(maps, address, mapping);
        if (error != 0)
            error = moat_linux_query_read(maps, address, mapping);
        close(maps);
    }
    errno = saved;
    return error;
}
