/* SPDX-License-Identifier: MIT */
/*
 * linux_maps: the text of /proc/self/maps, read with read(2) alone.
 *
 * For kernels that cannot be asked about one address, and to count. Lines look like
 *
 *   7f1c2a000000-7f1c2a021000 rw-p 00000000 fd:01 131242   /path, which may hold anything
 *
 * in ascending order. The kernel writes a page of text at a time, each a consistent look; between
 * them the map may change, but never goes back, so a search ends.
 */
#define _GNU_SOURCE
#include "os/linux_internal.h"

#include <unistd.h>

/* Small, because a signal stack may hold it. */
enum { BUFFER_SIZE = 1024 };

struct reader {
    int file;
    int error;
    char *name; /* of the mapping that was taken last; NULL: nobody asks for it */
    size_t name_size;
    size_t length;
    size_t next;
    char buffer[BUFFER_SIZE];
};

/* The next character; -1 at the end or after an error. */
static int take(struct reader *reader) {
    if (reader->next == reader->length) {
        ssize_t length;
        do
            length = read(reader->file, reader->buffer, BUFFER_SIZE);
        while (length < 0 && errno == EINTR);
        if (length < 0)
            reader->error = errno;
        if (length <= 0)
            return -1;
        reader->length = (size_t)length;
        reader->next = 0;
    }
    return (unsigned char)reader->buffer[reader->next++];
}

/* Skip to the next line. False when the text ends within this one. */
static bool take_rest(struct reader *reader) {
    int character;
    do
        character = take(reader);
    while (character != '\n' && character != -1);
    return character == '\n';
}

static int digit_of(int character) {
    if (character >= '0' && character <= '9')
        return character - '0';
    if (character >= 'a' && character <= 'f')
        return character - 'a' + 10;
    return -1;
}

/* The same, and keep what the line says behind blanks. */
static bool take_name(struct reader *reader) {
    size_t length = 0;
    int character;

    if (!reader->name)
        return take_rest(reader);
    do
        character = take(reader);
    while (character == ' ');
    for (; character != '\n' && character != -1; character = take(reader))
        if (length < reader->name_size - 1)
            reader->name[length++] = (char)character;
    reader->name[length] = '\0';
    return character == '\n';
}

/* A number with at least one digit, and the one character `end` behind it. */
static bool take_number(struct reader *reader, unsigned radix, int end, uint64_t *number) {
    uint64_t value = 0;
    int count = 0;
    for (;; count++) {
        int character = take(reader);
        int digit = digit_of(character);
        if (digit < 0 || digit >= (int)radix) {
            *number = value;
            return count > 0 && character == end;
        }
        value = value * radix + (unsigned)digit;
    }
}

static bool take_access(struct reader *reader, struct moat_os_mapping *mapping) {
    int r = take(reader);
    int w = take(reader);
    int x = take(reader);
    int s = take(reader);
    mapping->access = (r == 'r' ? MOAT_OS_READ : 0u) | (w == 'w' ? MOAT_OS_WRITE : 0u) |
                      (x == 'x' ? MOAT_OS_EXECUTE : 0u);
    mapping->shared = s == 's';
    return take(reader) == ' ';
}

/* One line. False: the text is not as above, or has ended; *began tells whether it started. */
static bool take_mapping(struct reader *reader, struct moat_os_mapping *mapping, bool *began) {
    uint64_t start, end, major, minor;
    int first = take(reader);
    *began = first != -1;
    if (!*began)
        return false;
    if (reader->name)
        reader->name[0] = '\0';
    reader->next--; /* take just read it from the buffer, so there is room to step back */
    if (!take_number(reader, 16, '-', &start) || !take_number(reader, 16, ' ', &end))
        return false;
    if (!take_access(reader, mapping) || !take_number(reader, 16, ' ', &mapping->offset))
        return false;
    if (!take_number(reader, 16, ':', &major) || !take_number(reader, 16, ' ', &minor))
        return false;
    /* The inode ends at a space, or at the end of a line without a name. */
    if (!take_number(reader, 10, ' ', &mapping->inode) && reader->buffer[reader->next - 1] != '\n')
        return false;
    if (reader->buffer[reader->next - 1] != '\n' && !take_name(reader))
        return false;
    mapping->start = (uintptr_t)start;
    mapping->end = (uintptr_t)end;
    mapping->mapped = true;
    mapping->file = mapping->inode != 0;
    mapping->device = major << 32 | minor;
    return true;
}

static void begin(struct reader *reader, int maps) {
    reader->file = maps;
    reader->error = 0;
    reader->name = NULL;
    reader->length = reader->next = 0;
}

/* Search from the start of the file. */
static int search(struct reader *reader, uintptr_t address, struct moat_os_mapping *mapping) {
    bool began;
    uint64_t count = 0;
    while (take_mapping(reader, mapping, &began)) {
        count++;
        if (mapping->end > address) {
            moat_linux_query_finish(address, mapping);
            return 0;
        }
    }
    if (reader->error != 0)
        return reader->error;
    if (began)
        return EIO;
    /* A process without a single mapping cannot be asking. */
    if (count == 0)
        return ENOSYS;
    mapping->mapped = false;
    moat_linux_query_finish(address, mapping);
    return 0;
}

int moat_linux_query_read(int maps, uintptr_t address, struct moat_os_mapping *mapping) {
    struct reader reader;
    begin(&reader, maps);
    return search(&reader, address, mapping);
}

int moat_linux_name_read(int maps, uintptr_t address, struct moat_os_mapping *mapping, char *name,
                         size_t size) {
    struct reader reader;
    begin(&reader, maps);
    reader.name = name;
    reader.name_size = size;
    return search(&reader, address, mapping);
}

int moat_linux_maps_each(int maps,
                         bool (*visit)(const struct moat_os_mapping *mapping, void *context),
                         void *context) {
    struct reader reader;
    struct moat_os_mapping mapping;
    bool began = false;
    uint64_t count = 0;
    begin(&reader, maps);
    while (take_mapping(&reader, &mapping, &began)) {
        count++;
        if (!visit(&mapping, context))
            return 0;
    }
    if (reader.error != 0)
        return reader.error;
    if (began)
        return EIO;
    return count == 0 ? ENOSYS : 0;
}

uint64_t moat_os_map_count(void) {
    int saved = errno;
    struct reader reader;
    begin(&reader, moat_linux_maps_open());
    uint64_t count = 0;
    if (reader.file >= 0) {
        while (take_rest(&reader))
            count++;
        close(reader.file);
    }
    if (reader.error != 0)
        count = 0;
    errno = saved;
    return count;
}
