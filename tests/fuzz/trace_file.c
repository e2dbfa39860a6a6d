/* SPDX-License-Identifier: MIT */
/*
 * trace_file: any bytes are read as a recorded trace, or refused with the place, as another reader
 * has it that keeps an array of pages a region and knows bench/traces/README.md alone.
 *
 * The first byte of an input says what the rest is: a whole file, a file without its checksum, or
 * operations for which a header is made.
 */
#define _GNU_SOURCE
#include "support/plant.h"
#include "support/verify.h"
#include "trace.h"
#include "trace_bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const plant_names[] = {"release-twice",  "touch-twice", "offset-from-start",
                                   "size-of-zero",   "no-checksum", "thread-unused",
                                   "protect-resets", NULL};

/* Larger regions are not followed page by page: of such files only the form is compared. */
enum { FILE_MAX = 1 << 16, REGIONS_MAX = 256, PAGES_MAX = 4096, THREADS_MAX = 65536 };
enum { TOUCHED = 8, COMMITTED = 16 };
enum { MODE_WHOLE, MODE_SEAL, MODE_OPERATIONS, MODES };

#define ADDRESS_MAX (UINT64_C(1) << 47)

static uint8_t file[FILE_MAX + 1024];
static size_t file_size;

static struct {
    size_t at;
    size_t since; /* where what is read now began */
    uint64_t shift, threads, regions, count;
    uint64_t counts[TRACE_OP_KINDS];
    uint64_t seen[TRACE_OP_KINDS];
    uint64_t dropped[2], drops[2];
    bool lost; /* too large to be followed */
} reading;

static struct {
    uint8_t *pages; /* protection, TOUCHED and COMMITTED */
    uint64_t size, next;
    bool released;
} regions[REGIONS_MAX];

static bool threads[THREADS_MAX];
static uint64_t reserved, committed, touched, live;
static uint64_t most[4]; /* live, reserved, committed, touched */

/* --- Primitives: false is the end of the reading --- */

static bool take_byte(uint8_t *byte) {
    if (reading.at + 4 >= file_size)
        return false;
    *byte = file[reading.at++];
    return true;
}

static bool take(uint64_t least, uint64_t greatest, uint64_t *number) {
    uint64_t digit = 0x80;

    reading.since = reading.at;
    *number = 0;
    for (uint64_t unit = 1; digit & 0x80; unit *= 128) {
        uint8_t byte;
        bool last = reading.at - reading.since == 9;
        if (!take_byte(&byte) || (last && byte > 1))
            return false;
        digit = byte;
        *number += (digit & 0x7f) * unit;
    }
    return *number >= least && *number <= greatest;
}

/* Even numbers are n and count up, odd ones count down from -1. */
static bool take_difference(uint64_t *to) {
    uint64_t code;

    if (!take(0, UINT64_MAX, &code))
        return false;
    *to = code % 2 ? *to - code / 2 - 1 : *to + code / 2;
    return true;
}

static bool take_string(char *text) {
    uint64_t length;
    uint8_t byte;

    if (!take(1, 63, &length))
        return false;
    for (uint64_t i = 0; i < length; i++) {
        reading.since = reading.at;
        if (!take_byte(&byte) || byte < 0x20 || byte > 0x7e)
            return false;
        text[i] = (char)byte;
    }
    text[length] = '\0';
    return true;
}

/* --- The header --- */

static bool take_drops(unsigned which) {
    uint64_t seen, count;
    char name[64];

    if (!take(0, UINT64_MAX, &seen) || !take(0, 32, &reading.drops[which]))
        return false;
    for (uint64_t i = 0; i < reading.drops[which]; i++) {
        size_t start = reading.at;
        if (!take_string(name) || !take(0, UINT64_MAX, &count))
            return false;
        reading.since = start;
        if (count > seen - reading.dropped[which])
            return false;
        reading.dropped[which] += count;
    }
    return true;
}

static bool take_header(char *name) {
    reading.at = file_size < 12 ? file_size : 8;
    if (file_size < 12 || memcmp(file, "MOATTRC\x01", 8) != 0)
        return false;
    if (!take(12, 16, &reading.shift) || !take_string(name) ||
        !take(1, THREADS_MAX, &reading.threads) || !take(1, UINT32_MAX, &reading.regions))
        return false;
    size_t start = reading.at;
    if (!take(1, SIZE_MAX / sizeof(struct trace_op), &reading.count))
        return false;
    for (unsigned kind = 0; kind < TRACE_OP_KINDS; kind++)
        if (!take(0, reading.count, &reading.counts[kind]))
            return false;
    if (!take_drops(0) || !take_drops(1))
        return false;
    reading.since = start;
    return reading.count <= file_size - 4 - reading.at && reading.regions <= reading.count &&
           reading.threads <= reading.count;
}

/* --- Operations --- */

static bool protection_fits(unsigned kind, unsigned protection) {
    if (kind == TRACE_COMMIT)
        return protection != 0;
    if (kind == TRACE_DECOMMIT || kind == TRACE_RELEASE)
        return protection == 0;
    return kind != TRACE_TOUCH || (protection & TRACE_PROT_READ);
}

/* One page. False: the operation is not for such a page. */
static bool change(uint8_t *page, unsigned kind, unsigned protection) {
    uint8_t was = *page;

    switch (kind) {
    case TRACE_RESERVE:
    case TRACE_COMMIT:
        *page = (uint8_t)(COMMITTED | protection);
        committed++;
        return !(was & COMMITTED);
    case TRACE_DECOMMIT:
        *page = 0;
        committed -= (was & COMMITTED) != 0;
        touched -= (was & TOUCHED) != 0;
        return was & COMMITTED;
    case TRACE_PROTECT:
        *page =
            (uint8_t)(COMMITTED | protection | (plant_is("protect-resets") ? 0 : was & TOUCHED));
        return was & COMMITTED;
    default:
        *page = was | TOUCHED;
        touched++;
        return was == (COMMITTED | protection) ||
               (plant_is("touch-twice") && was == (COMMITTED | TOUCHED | protection));
    }
}

static void note_most(unsigned which, uint64_t value) {
    if (value > most[which])
        most[which] = value;
}

static bool apply(const struct trace_op *op) {
    if (op->kind == TRACE_RESERVE) {
        if (op->size > (ADDRESS_MAX >> reading.shift) - reserved)
            return false;
        reading.lost |= op->size > PAGES_MAX;
        reserved += op->size;
        live++;
        if (reading.lost)
            return true;
        regions[op->region].size = op->size;
        regions[op->region].pages = calloc(op->size, 1);
        if (!regions[op->region].pages)
            abort();
    }
    if (op->kind == TRACE_RELEASE) {
        for (uint64_t i = 0; i < regions[op->region].size; i++)
            if (regions[op->region].pages[i] & COMMITTED)
                change(&regions[op->region].pages[i], TRACE_DECOMMIT, 0);
        regions[op->region].released = true;
        reserved -= regions[op->region].size;
        live--;
        return true;
    }
    if (op->kind == TRACE_RESERVE && op->prot == 0)
        return true;
    for (uint64_t i = op->offset; i < op->offset + op->size; i++)
        if (!change(&regions[op->region].pages[i], op->kind, op->prot))
            return false;
    return true;
}

static bool take_operation(struct trace_op *op) {
    uint64_t number = op->region, offset = 0, size = 0;
    size_t start = reading.since = reading.at;
    uint8_t head;

    if (!take_byte(&head) || (head & 7) >= TRACE_OP_KINDS)
        return false;
    unsigned kind = head & 7u, protection = head >> 3 & 7u;
    bool same_region = head & 0x80;
    *op =
        (struct trace_op){.kind = (uint8_t)kind, .prot = (uint8_t)protection, .thread = op->thread};
    if (!protection_fits(kind, protection))
        return false;
    if (!(head & 0x40)) {
        uint64_t thread;
        if (!take(0, reading.threads - 1, &thread))
            return false;
        op->thread = (uint16_t)thread;
    }
    threads[op->thread] = true;
    reading.since = start;
    if (kind == TRACE_RESERVE) {
        if (same_region || reading.seen[TRACE_RESERVE] == reading.regions)
            return false;
        number = reading.seen[TRACE_RESERVE];
    } else if (!same_region && !take_difference(&number)) {
        return false;
    }
    reading.since = start;
    reading.seen[kind]++;
    if (number >= reading.seen[TRACE_RESERVE])
        return false;
    if (number >= REGIONS_MAX) {
        reading.lost = true;
        return true;
    }
    op->region = (uint32_t)number;
    if (regions[number].released && !plant_is("release-twice"))
        return false;
    if (kind != TRACE_RELEASE) {
        offset = kind == TRACE_RESERVE || plant_is("offset-from-start") ? 0 : regions[number].next;
        if ((kind != TRACE_RESERVE && !take_difference(&offset)) || !take(0, UINT64_MAX, &size))
            return false;
        reading.since = start;
        uint64_t room = kind == TRACE_RESERVE ? ADDRESS_MAX >> reading.shift : regions[number].size;
        if ((size == 0 && !plant_is("size-of-zero")) || offset >= room || size > room - offset)
            return false;
        if (kind != TRACE_RESERVE)
            regions[number].next = offset + size;
    }
    op->offset = offset;
    op->size = size;
    return apply(op);
}

static bool take_end(void) {
    reading.since = reading.at;
    if (reading.at != file_size - 4 ||
        memcmp(reading.seen, reading.counts, sizeof(reading.seen)) != 0 ||
        reading.seen[TRACE_RESERVE] != reading.regions)
        return false;
    for (uint64_t i = 0; i < reading.threads; i++)
        if (!threads[i] && !plant_is("thread-unused"))
            return false;
    uint32_t sum = trace_bytes_crc32(file, file_size - 4);
    for (unsigned i = 0; i < 4; i++)
        if (file[file_size - 4 + i] != (uint8_t)(sum >> (8 * i)) && !plant_is("no-checksum"))
            return false;
    return true;
}

/* --- What is compared --- */

static void compare_operation(const struct trace *trace, uint64_t i, const struct trace_op *op) {
    const struct trace_op *is = &trace->ops[i];

    if (is->kind != op->kind || is->prot != op->prot || is->thread != op->thread ||
        is->region != op->region || is->offset != op->offset << reading.shift ||
        is->size != op->size << reading.shift)
        verify_fail("operation %llu is read as kind %u of region %u, offset %#llx size %#llx",
                    (unsigned long long)i, is->kind, is->region, (unsigned long long)is->offset,
                    (unsigned long long)is->size);
}

/* Reads the file; where a trace was loaded, it is compared on the way. */
static bool read_file(const struct trace *trace) {
    struct trace_op op = {0};
    char name[64];

    if (!take_header(name))
        return false;
    if (trace &&
        (strcmp(trace->name, name) != 0 || trace->op_count != reading.count ||
         trace->thread_count != reading.threads ||
         trace->page_size != UINT32_C(1) << reading.shift ||
         trace->calls_dropped != reading.dropped[0] ||
         trace->faults_dropped != reading.dropped[1] ||
         trace->call_drop_count != reading.drops[0] || trace->fault_drop_count != reading.drops[1]))
        verify_fail("the header of \"%s\" is not what the file has", name);
    for (uint64_t i = 0; i < reading.count; i++) {
        if (!take_operation(&op))
            return false;
        if (reading.lost)
            return true;
        note_most(0, live);
        note_most(1, reserved << reading.shift);
        note_most(2, committed << reading.shift);
        note_most(3, touched << reading.shift);
        if (trace)
            compare_operation(trace, i, &op);
    }
    return take_end();
}

static void forget(void) {
    for (size_t i = 0; i < REGIONS_MAX; i++)
        free(regions[i].pages);
    memset(regions, 0, sizeof(regions));
    memset(threads, 0, sizeof(threads));
    memset(&reading, 0, sizeof(reading));
    memset(most, 0, sizeof(most));
    reserved = committed = touched = live = 0;
}

static void compare(void) {
    char path[64], error[256] = "";
    struct trace trace;
    unsigned long place = 0;
    int memory = memfd_create("trace", 0);

    if (memory < 0 || write(memory, file, file_size) != (ssize_t)file_size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
    bool loaded = trace_load(path, &trace, error, sizeof(error)) == 0;
    close(memory);
    bool should = read_file(loaded ? &trace : NULL);
    if (!reading.lost && loaded != should)
        verify_fail("the file is %s: %s; the other reader came to byte %zu, where byte %zu began",
                    loaded ? "read" : "refused", error, reading.at, reading.since);
    size_t skip = strlen(path);
    if (!loaded && (strncmp(error, path, skip) != 0 ||
                    sscanf(error + skip, ": byte %lu: ", &place) != 1 || place > file_size))
        verify_fail("the error names no place: %s", error);
    if (!loaded && !reading.lost && (place < reading.since || place > reading.at + 1))
        verify_fail("the place is between %zu and %zu: %s", reading.since, reading.at, error);
    if (loaded && !reading.lost &&
        (trace.live_regions_max != most[0] || trace.reserved_max != most[1] ||
         trace.committed_max != most[2] || trace.touched_max != most[3]))
        verify_fail("the greatest sums are not %llu, %llu, %llu and %llu",
                    (unsigned long long)most[0], (unsigned long long)most[1],
                    (unsigned long long)most[2], (unsigned long long)most[3]);
    trace_free(&trace);
    forget();
}

/* --- An input --- */

static void put(uint64_t number) {
    for (; number > 0x7f; number >>= 7)
        file[file_size++] = (uint8_t)(number | 0x80);
    file[file_size++] = (uint8_t)number;
}

static void seal(void) {
    uint32_t sum = trace_bytes_crc32(file, file_size);
    for (unsigned i = 0; i < 4; i++)
        file[file_size++] = (uint8_t)(sum >> (8 * i));
}

/* A header for operations as they come: it is read once to count them. */
static void write_header(const uint64_t *counts) {
    uint64_t sum = 0;

    memcpy(file, "MOATTRC\x01\x0c\x01x", 11);
    file_size = 11;
    for (unsigned kind = 0; kind < TRACE_OP_KINDS; kind++)
        sum += counts[kind];
    put(2);
    put(counts[TRACE_RESERVE]);
    put(sum);
    for (unsigned kind = 0; kind < TRACE_OP_KINDS; kind++)
        put(counts[kind]);
    for (unsigned i = 0; i < 4; i++)
        put(0);
}

static void make(const uint8_t *operations, size_t size) {
    uint64_t counts[TRACE_OP_KINDS] = {0};
    struct trace_op op = {0};

    memcpy(file, operations, size);
    file_size = size + 4;
    reading.shift = 12;
    reading.threads = 2;
    reading.regions = UINT32_MAX;
    while (reading.at < size && take_operation(&op) && !reading.lost)
        counts[op.kind]++;
    size_t used = reading.at < size ? reading.at : size;
    forget();
    write_header(counts);
    memcpy(file + file_size, operations, used);
    file_size += used;
    seal();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > FILE_MAX)
        return 0;
    file_size = 0;
    forget();
    if (data[0] % MODES == MODE_OPERATIONS) {
        make(data + 1, size - 1);
    } else {
        memcpy(file, data + 1, size - 1);
        file_size = size - 1;
        if (data[0] % MODES == MODE_SEAL)
            seal();
    }
    compare();
    return 0;
}
