/* SPDX-License-Identifier: MIT */
/*
 * maps_text: any text in the place of /proc/self/maps is read as another reader has it, by lines;
 * from the first line on that the kernel would not write, any answer will do that stays in bounds.
 *
 * The first byte of an input is a choice of the address, the rest is the text.
 */
#define _GNU_SOURCE
#include "os/linux_internal.h"
#include "support/plant.h"
#include "support/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const plant_names[] = {"end-is-inside", "name-with-blanks", "shared-is-private", NULL};

enum { TEXT_MAX = 1 << 15, NAME_SIZE = 24 };

static const char *text;
static size_t text_size;

struct line {
    uint64_t start, end, offset, major, minor, inode;
    char access[4];
    char name[TEXT_MAX];
};

/* As the kernel writes a line, to the letter. */
static bool read_line(const char *at, size_t length, struct line *line) {
    static char copy[TEXT_MAX + 1];
    int used = 0;

    memcpy(copy, at, length);
    copy[length] = '\0';
    if (strlen(copy) != length || sscanf(copy, "%16[0-9a-f]%n", line->name, &used) != 1 ||
        copy[used] != '-')
        return false;
    line->start = strtoull(copy, NULL, 16);
    char *next = copy + used + 1;
    if (sscanf(next, "%16[0-9a-f]%n", line->name, &used) != 1 || next[used] != ' ')
        return false;
    line->end = strtoull(next, NULL, 16);
    next += used + 1;
    for (unsigned i = 0; i < 4; i++, next++)
        if (*next == '\0' || !strchr(i < 3 ? "rwx-" : "ps", *next))
            return false;
        else
            line->access[i] = *next;
    if (*next++ != ' ' || sscanf(next, "%16[0-9a-f]%n", line->name, &used) != 1 ||
        next[used] != ' ')
        return false;
    line->offset = strtoull(next, NULL, 16);
    next += used + 1;
    if (sscanf(next, "%8[0-9a-f]%n", line->name, &used) != 1 || next[used] != ':')
        return false;
    line->major = strtoull(next, NULL, 16);
    next += used + 1;
    if (sscanf(next, "%8[0-9a-f]%n", line->name, &used) != 1 || next[used] != ' ')
        return false;
    line->minor = strtoull(next, NULL, 16);
    next += used + 1;
    if (sscanf(next, "%18[0-9]%n", line->name, &used) != 1 ||
        (next[used] != ' ' && next[used] != '\0'))
        return false;
    line->inode = strtoull(next, NULL, 10);
    next += used;
    if (!plant_is("name-with-blanks"))
        next += strspn(next, " ");
    strcpy(line->name, next);
    return true;
}

static void check_found(const struct moat_os_mapping *is, const char *name, const struct line *line,
                        uintptr_t address) {
    uint64_t end = line->end < MOAT_OS_ADDRESS_END ? line->end : MOAT_OS_ADDRESS_END;
    bool shown = line->start <= address;
    unsigned access = (line->access[0] == 'r' ? MOAT_OS_READ : 0u) |
                      (line->access[1] == 'w' ? MOAT_OS_WRITE : 0u) |
                      (line->access[2] == 'x' ? MOAT_OS_EXECUTE : 0u);

    if (is->mapped != shown)
        verify_fail("%#lx is%s mapped by a line from %#llx", (unsigned long)address,
                    is->mapped ? "" : " not", (unsigned long long)line->start);
    if (shown &&
        (is->start != line->start || is->end != end || is->access != access ||
         is->shared != (line->access[3] == (plant_is("shared-is-private") ? 'p' : 's')) ||
         is->offset != line->offset || is->inode != line->inode ||
         is->device != (line->major << 32 | line->minor) || is->file != (line->inode != 0)))
        verify_fail("the line from %#llx to %#llx is read as %#lx to %#lx, inode %llu",
                    (unsigned long long)line->start, (unsigned long long)line->end,
                    (unsigned long)is->start, (unsigned long)is->end,
                    (unsigned long long)is->inode);
    if (strncmp(name, line->name, NAME_SIZE - 1) != 0 ||
        strlen(name) != (strlen(line->name) < NAME_SIZE ? strlen(line->name) : NAME_SIZE - 1))
        verify_fail("the name \"%s\" is read as \"%s\"", line->name, name);
}

static bool count_visit(const struct moat_os_mapping *mapping, void *context) {
    (void)mapping;
    ++*(size_t *)context;
    return true;
}

static void check_maps(int maps, uintptr_t address) {
    static struct line line;
    struct moat_os_mapping is, other;
    char *name = malloc(NAME_SIZE);
    size_t lines = 0, visited = 0;
    const char *at = text, *end = text + text_size;

    if (!name)
        abort();
    memset(name, 'x', NAME_SIZE);
    int status = moat_linux_name_read(maps, address, &is, name, NAME_SIZE);
    lseek(maps, 0, SEEK_SET);
    if (moat_linux_query_read(maps, address, &other) != status ||
        (!status && (other.start != is.start || other.end != is.end)))
        verify_fail("a query that wants no name finds something else");
    lseek(maps, 0, SEEK_SET);
    int each = moat_linux_maps_each(maps, count_visit, &visited);
    for (const char *stop; at < end; at = stop + 1, lines++) {
        stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop || !read_line(at, (size_t)(stop - at), &line))
            break;
        bool holds = line.end > address || (plant_is("end-is-inside") && line.end == address);
        if (holds) {
            if (status)
                verify_fail("%#lx is answered with %d", (unsigned long)address, status);
            check_found(&is, name, &line, address);
            free(name);
            return;
        }
    }
    free(name);
    if (visited < lines)
        verify_fail("%zu lines of %zu were visited", visited, lines);
    if (at < end) /* a line that the kernel does not write */
        return;
    if (status != (lines ? 0 : ENOSYS) || each != status || visited != lines ||
        (!status && is.mapped))
        verify_fail("%#lx, above %zu lines, is answered with %d, and %d after %zu",
                    (unsigned long)address, lines, status, each, visited);
}

/* A small one, or one near the first that stands there. */
static uintptr_t choose(unsigned choice) {
    static const char digits[] = "0123456789abcdef";
    uintptr_t address = 0;

    if (choice < 64)
        return (uintptr_t)choice << 12;
    for (size_t i = 0; i < text_size && i < 12; i++) {
        const char *digit = memchr(digits, text[i], sizeof(digits) - 1);
        address = address * 16 + (uintptr_t)(digit ? digit - digits : 0);
    }
    return address + (choice - 128u) * 2048u;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 || size > TEXT_MAX)
        return 0;
    text = (const char *)data + 1;
    text_size = size - 1;
    int maps = memfd_create("maps", 0);
    if (maps < 0 || write(maps, text, text_size) != (ssize_t)text_size)
        abort();
    lseek(maps, 0, SEEK_SET);
    uintptr_t address = choose(data[0]);
    if (address < MOAT_OS_ADDRESS_END)
        check_maps(maps, address);
    close(maps);
    return 0;
}
