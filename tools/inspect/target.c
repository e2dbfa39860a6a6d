/* SPDX-License-Identifier: MIT */
/* target: what processes and cores have in common, and processes. */
#define _GNU_SOURCE
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define IS_PRESENT ((uint64_t)1 << 63)

enum { ENTRIES = 4096, LINE = 4352 };

void complain(const char *format, ...) {
    va_list arguments;

    fputs("moat-inspect: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

void *need(void *old, size_t size) {
    void *memory = realloc(old, size);

    if (!memory) {
        complain("no memory for %zu bytes", size);
        exit(OUT_OF_REACH);
    }
    return memory;
}

void target_add(struct target *target, const struct mapping *mapping) {
    size_t count = target->mapping_count;

    if ((count & (count - 1)) == 0)
        target->mappings =
            need(target->mappings, (count ? 2 * count : 1) * sizeof *target->mappings);
    target->mappings[target->mapping_count++] = *mapping;
}

/* --- A process --- */

static enum ending explain(const struct target *target, int error) {
    if (error == ESRCH || error == ENOENT)
        complain("%s: there is no such process", target->name);
    else if (error == EPERM || error == EACCES)
        complain("%s: may not be looked into (%s); be its user, or root, and where "
                 "/proc/sys/kernel/yama/ptrace_scope is not 0, root",
                 target->name, strerror(error));
    else
        complain("%s: %s", target->name, strerror(error));
    return OUT_OF_REACH;
}

static bool read_process(const struct target *target, uint64_t address, void *to, size_t size) {
    unsigned char *next = to;

    while (size > 0) {
        struct iovec local = {next, size};
        struct iovec remote = {(void *)(uintptr_t)address, size};
        ssize_t count = process_vm_readv(target->process, &local, 1, &remote, 1, 0);
        if (count <= 0)
            return false;
        next += count;
        address += (uint64_t)count;
        size -= (size_t)count;
    }
    return true;
}

static void add_line(struct target *target, const char *line) {
    struct mapping mapping = {0};
    char rights[8] = "";
    int path = 0;

    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*s %*s %*s %n", &mapping.start, &mapping.end,
               rights, &path) < 3)
        return;
    mapping.executable = rights[2] == 'x';
    mapping.of_file = rights[0] == 'r' && rights[3] == 'p' && path > 0 && line[path] == '/';
    target_add(target, &mapping);
}

enum ending target_open_process(struct target *target, pid_t process) {
    char path[64], line[LINE];

    *target = (struct target){.process = process, .file = -1};
    snprintf(target->name, sizeof target->name, "process %ld", (long)process);
    snprintf(path, sizeof path, "/proc/%ld/maps", (long)process);
    FILE *maps = fopen(path, "re");
    if (!maps)
        return explain(target, errno);
    while (fgets(line, sizeof line, maps))
        add_line(target, line);
    int error = ferror(maps) ? errno : 0;
    (void)fclose(maps);
    if (error || target->mapping_count == 0)
        return explain(target, error ? error : ESRCH);
    char byte;
    struct iovec local = {&byte, 1}, remote = {(void *)(uintptr_t)target->mappings[0].start, 1};
    if (process_vm_readv(process, &local, 1, &remote, 1, 0) < 0 && errno != EFAULT)
        return explain(target, errno);
    snprintf(path, sizeof path, "/proc/%ld/pagemap", (long)process);
    target->file = open(path, O_RDONLY | O_CLOEXEC);
    return SHOWN;
}

static bool resident_in_process(const struct target *target, uint64_t start, uint64_t end,
                                uint64_t *bytes) {
    static uint64_t entries[ENTRIES];
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

    *bytes = 0;
    for (uint64_t at = start / page; at * page < end;) {
        uint64_t left = (end + page - 1) / page - at;
        size_t count = left < ENTRIES ? (size_t)left : ENTRIES;
        ssize_t size = (ssize_t)(count * sizeof entries[0]);
        if (pread(target->file, entries, (size_t)size, (off_t)(at * sizeof entries[0])) != size)
            return false;
        for (size_t i = 0; i < count; i++)
            *bytes += entries[i] & IS_PRESENT ? page : 0;
        at += count;
    }
    return true;
}

/* --- Either --- */

static size_t overlap(const struct mapping *mapping, uint64_t start, uint64_t end) {
    uint64_t low = start > mapping->start ? start : mapping->start;
    uint64_t last = mapping->start + mapping->in_dump;
    uint64_t high = end < last ? end : last;
    return low < high ? (size_t)(high - low) : 0;
}

/* The first mapping that ends behind an address. */
static size_t find(const struct target *target, uint64_t address) {
    size_t low = 0, high = target->mapping_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (target->mappings[middle].end > address)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static bool read_core(const struct target *target, uint64_t address, void *to, size_t size) {
    unsigned char *next = to;

    for (size_t i = find(target, address); i < target->mapping_count && size > 0; i++) {
        const struct mapping *mapping = &target->mappings[i];
        size_t part = overlap(mapping, address, address + size);
        if (part == 0 || address < mapping->start)
            return false;
        off_t at = (off_t)(mapping->offset + (address - mapping->start));
        if (pread(target->file, next, part, at) != (ssize_t)part)
            return false;
        next += part;
        address += part;
        size -= part;
    }
    return size == 0;
}

bool target_read(const struct target *target, uint64_t address, void *to, size_t size) {
    if (address + size < address)
        return false;
    return target->process ? read_process(target, address, to, size)
                           : read_core(target, address, to, size);
}

bool target_resident(const struct target *target, uint64_t start, uint64_t end, uint64_t *bytes) {
    if (target->process)
        return target->file >= 0 && resident_in_process(target, start, end, bytes);
    *bytes = 0;
    for (size_t i = find(target, start);
         i < target->mapping_count && target->mappings[i].start < end; i++)
        *bytes += overlap(&target->mappings[i], start, end);
    return true;
}

void target_close(struct target *target) {
    if (target->file >= 0)
        close(target->file);
    free(target->mappings);
}
