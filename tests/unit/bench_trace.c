/* SPDX-License-Identifier: MIT */
/*
 * The reader of recorded traces: what it promises holds, and what is wrong is said with its place.
 *
 * Traces are built here byte by byte from bench/traces/README.md, not by the project's encoder, so
 * that an error common to encoder and reader would show.
 */
#define _POSIX_C_SOURCE 200809L

#include "trace.h"
#include "trace_bytes.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PAGE = MOAT_PAGE_BYTES,
    SAME_THREAD = 0x40,
    SAME_REGION = 0x80,
    BOTH = 0xC0,
    RW = 3 << 3,
    R = 1 << 3
};

struct file {
    unsigned char bytes[4096];
    size_t size;
};

struct builder {
    struct file ops;
    uint64_t threads;
    uint64_t regions;
    uint64_t op_count;
    uint64_t counts[TRACE_OP_KINDS];
};

static void put(struct file *file, uint64_t number) {
    for (; number > 0x7f; number >>= 7)
        file->bytes[file->size++] = (unsigned char)(number | 0x80);
    file->bytes[file->size++] = (unsigned char)number;
}

static uint64_t zigzag(int64_t number) {
    return number < 0 ? ~((uint64_t)number << 1) : (uint64_t)number << 1;
}

/* One operation: its head and the numbers that follow it, already in zigzag where that is due. */
static void op(struct builder *b, int head, int number_count, ...) {
    va_list numbers;
    put(&b->ops, 0);
    b->ops.bytes[b->ops.size - 1] = (unsigned char)head;
    va_start(numbers, number_count);
    for (int i = 0; i < number_count; i++)
        put(&b->ops, va_arg(numbers, uint64_t));
    va_end(numbers);
    b->op_count++;
    b->regions += (head & 7) == TRACE_RESERVE;
    if ((head & 7) < TRACE_OP_KINDS)
        b->counts[head & 7]++;
}

#define N(number) ((uint64_t)(number))

/* Region 0 of 16 pages by thread 0, pages 2 to 9 committed read-write. */
static struct builder simple(void) {
    struct builder b = {.threads = 1};
    op(&b, TRACE_RESERVE | SAME_THREAD, 1, N(16));
    op(&b, TRACE_COMMIT | RW | BOTH, 2, zigzag(2), N(8));
    return b;
}

static void seal(struct file *file) {
    uint32_t crc = trace_bytes_crc32(file->bytes, file->size);
    for (int i = 0; i < 4; i++)
        file->bytes[file->size++] = (unsigned char)(crc >> (8 * i));
}

static struct file build(const struct builder *b) {
    struct file file = {.bytes = "MOATTRC\x01", .size = 8};
    put(&file, 12);
    put(&file, 1);
    file.bytes[file.size++] = 'x';
    put(&file, b->threads);
    put(&file, b->regions);
    put(&file, b->op_count);
    for (int kind = 0; kind < TRACE_OP_KINDS; kind++)
        put(&file, b->counts[kind]);
    for (int i = 0; i < 4; i++) /* calls and faults: none seen, no kinds of drops */
        put(&file, 0);
    memcpy(file.bytes + file.size, b->ops.bytes, b->ops.size);
    file.size += b->ops.size;
    seal(&file);
    return file;
}

static int load(const struct file *file, struct trace *trace, char *error, size_t error_size) {
    char path[] = "/tmp/moat_trace_XXXXXX";
    int fd = mkstemp(path);
    cr_assert_neq(fd, -1);
    cr_assert_eq(write(fd, file->bytes, file->size), (ssize_t)file->size);
    close(fd);
    int result = trace_load(path, trace, error, error_size);
    unlink(path);
    if (result == 0)
        cr_assert_str_eq(error, "");
    else if (error_size > sizeof path)
        cr_assert_eq(strncmp(error, path, sizeof path - 1), 0, "%s does not name the file", error);
    return result;
}

/* The file must be refused with this message, which begins after "PATH: ". */
static void refused_file(const struct file *file, const char *message) {
    struct trace trace;
    char error[256];
    cr_assert_eq(load(file, &trace, error, sizeof error), -1, "loaded, not: %s", message);
    cr_expect_str_eq(strchr(error, ' ') + 1, message);
    cr_assert_null(trace.ops);
    cr_assert_eq(trace.op_count, 0);
}

static void refused(const struct builder *b, const char *message) {
    struct file file = build(b);
    refused_file(&file, message);
}

/* The promises of trace.h once more, with a page array for each region. */
static void check_promises(const struct trace *t) {
    unsigned char **pages = calloc(t->region_count, sizeof *pages);
    size_t *counts = calloc(t->region_count, sizeof *counts);
    uint32_t reserved = 0;
    for (size_t i = 0; i < t->op_count; i++) {
        const struct trace_op *o = &t->ops[i];
        cr_assert_lt(o->thread, t->thread_count);
        cr_assert_lt(o->region, t->region_count);
        if (o->kind == TRACE_RESERVE) {
            cr_assert_eq(o->region, reserved++);
            counts[o->region] = o->size / t->page_size;
            pages[o->region] = calloc(counts[o->region], 1);
            memset(pages[o->region], o->prot == 0 ? 0 : 8 | o->prot, counts[o->region]);
            continue;
        }
        unsigned char *state = pages[o->region];
        cr_assert_not_null(state, "operation %zu of a region that is not there", i);
        if (o->kind == TRACE_RELEASE) {
            free(state);
            pages[o->region] = NULL;
            continue;
        }
        cr_assert_eq(o->offset % t->page_size + o->size % t->page_size, 0);
        size_t first = o->offset / t->page_size, count = o->size / t->page_size;
        cr_assert(count > 0 && first < counts[o->region] && count <= counts[o->region] - first);
        for (size_t page = first; page < first + count; page++) {
            cr_assert_eq(state[page] != 0, o->kind != TRACE_COMMIT, "operation %zu", i);
            if (o->kind == TRACE_TOUCH)
                cr_assert((o->prot & TRACE_PROT_READ) != 0 && state[page] == (8 | o->prot));
            unsigned char touched = o->kind == TRACE_TOUCH ? 16 : state[page] & 16;
            state[page] = o->kind == TRACE_DECOMMIT ? 0 : (unsigned char)(touched | 8 | o->prot);
        }
    }
    for (uint32_t region = 0; region < t->region_count; region++)
        free(pages[region]);
    free(pages);
    free(counts);
}

Test(bench_trace, every_field_arrives) {
    struct builder b = {.threads = 2};
    op(&b, TRACE_RESERVE | RW | SAME_THREAD, 1, N(300));
    op(&b, TRACE_RESERVE, 2, N(1), N(16));
    op(&b, TRACE_TOUCH | RW, 4, N(0), zigzag(-1), zigzag(200), N(100));
    op(&b, TRACE_DECOMMIT | BOTH, 2, zigzag(-100), N(10));
    op(&b, TRACE_COMMIT | R | BOTH, 2, zigzag(-5), N(5));
    op(&b, TRACE_PROTECT | BOTH, 2, zigzag(-210), N(1));
    op(&b, TRACE_RELEASE | SAME_THREAD, 1, zigzag(1));
    struct file file = build(&b);
    struct trace t;
    char error[256];
    cr_assert_eq(load(&file, &t, error, sizeof error), 0, "%s", error);
    const struct trace_op expected[] = {
        {TRACE_RESERVE, 3, 0, 0, 0, 300 * PAGE},
        {TRACE_RESERVE, 0, 1, 1, 0, 16 * PAGE},
        {TRACE_TOUCH, 3, 0, 0, 200 * PAGE, 100 * PAGE},
        {TRACE_DECOMMIT, 0, 0, 0, 200 * PAGE, 10 * PAGE},
        {TRACE_COMMIT, 1, 0, 0, 205 * PAGE, 5 * PAGE},
        {TRACE_PROTECT, 0, 0, 0, 0, PAGE},
        {TRACE_RELEASE, 0, 0, 1, 0, 0},
    };
    cr_assert_eq(t.op_count, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < t.op_count; i++)
        cr_expect_eq(memcmp(&t.ops[i], &expected[i], sizeof *expected), 0, "operation %zu", i);
    cr_assert_str_eq(t.name, "x");
    cr_assert_eq(t.thread_count, 2);
    cr_assert_eq(t.region_count, 2);
    cr_assert_eq(t.counts[TRACE_RESERVE], 2);
    cr_assert_eq(t.counts[TRACE_RELEASE], 1);
    cr_assert_eq(t.page_size, PAGE);
    cr_assert_eq(t.live_regions_max, 2);
    cr_assert_eq(t.reserved_max, 316 * PAGE);
    cr_assert_eq(t.committed_max, 300 * PAGE);
    cr_assert_eq(t.touched_max, 100 * PAGE);
    check_promises(&t);
    trace_free(&t);
    cr_assert_null(t.ops);
}

Test(bench_trace, files_of_other_kinds_and_versions_are_refused) {
    refused_file(&(struct file){.bytes = "#!/bin/sh\necho", .size = 14},
                 "byte 0: wrong magic: not a trace");
    refused_file(&(struct file){.bytes = "MOATTRC\x02 and more", .size = 17},
                 "byte 7: format version 2, this reader knows version 1");
}

Test(bench_trace, absurd_counts_are_refused_before_they_are_believed) {
    struct builder b = simple();
    b.op_count = UINT64_C(1) << 50;
    refused(&b, "byte 13: 1125899906842624 operations cannot be in the 5 bytes left");
    b = simple();
    b.op_count = UINT64_MAX;
    refused(&b,
            "byte 13: the operation count is 18446744073709551615, not 1 to 768614336404564650");
    b = simple();
    b.op_count = 0;
    refused(&b, "byte 13: the operation count is 0, not 1 to 768614336404564650");
    b = simple();
    b.regions = UINT32_MAX;
    refused(&b, "byte 17: 4294967295 regions, 1 threads, but 2 operations");
    b = simple();
    b.threads = 65537;
    refused(&b, "byte 11: the thread count is 65537, not 1 to 65536");
    b = simple();
    b.counts[TRACE_TOUCH] = 3;
    refused(&b, "byte 19: TOUCH is 3, not 0 to 2");
}

Test(bench_trace, the_header_must_agree_with_the_operations) {
    struct builder b = simple();
    b.counts[TRACE_TOUCH] = 1;
    refused(&b, "byte 29: 0 TOUCH, the header says 1");
    b = simple();
    b.regions = 2;
    op(&b, TRACE_RELEASE | BOTH, 0);
    refused(&b, "byte 30: 1 regions, the header says 2");
    b = simple();
    b.threads = 2;
    refused(&b, "byte 29: thread 1 has no operation");
    b = simple();
    b.op_count = 1;
    refused(&b, "byte 26: 3 bytes between the operations and the checksum");
    struct file file = build(&(struct builder){.threads = 1, .regions = 1, .op_count = 1});
    refused_file(&file, "byte 13: 1 operations cannot be in the 0 bytes left");
    b = simple();
    file = build(&b);
    file.size -= 4;
    memcpy(file.bytes + 20, "\1\1\1x\2", 5); /* one call seen, one kind of drops: "x", 2 */
    seal(&file);
    refused_file(&file, "byte 22: more calls dropped than the 1 seen");
}

/* Each line breaks one promise; without its check, the trace would load and a replay would trip. */
Test(bench_trace, operations_that_break_a_promise_are_refused) {
    const struct {
        int head;
        int64_t offset; /* from page 10, the end of the committed pages */
        uint64_t size;
        const char *message;
    } bad[] = {
        {TRACE_COMMIT | RW, -1, 1, "COMMIT of page 9 of region 0, which is committed"},
        {TRACE_COMMIT | RW, -10, 3, "COMMIT of page 2 of region 0, which is committed"},
        {TRACE_TOUCH | RW, -1, 2, "TOUCH of page 10 of region 0, which is not committed"},
        {TRACE_DECOMMIT, -9, 2, "DECOMMIT of page 1 of region 0, which is not committed"},
        {TRACE_PROTECT, 2, 2, "PROTECT of page 12 of region 0, which is not committed"},
        {TRACE_TOUCH | R, -1, 1, "TOUCH of page 9 of region 0, which has another protection"},
        {TRACE_TOUCH, -1, 1, "TOUCH with protection 0"},
        {TRACE_COMMIT, 0, 1, "COMMIT with protection 0"},
        {TRACE_DECOMMIT | R, -1, 1, "DECOMMIT with protection 1"},
        {TRACE_RELEASE | RW, 0, 0, "RELEASE with protection 3"},
        {6, 0, 0, "unknown operation 6"},
        {7, 0, 0, "unknown operation 7"},
        {TRACE_RESERVE, 0, 0, "RESERVE of the region before"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct builder b = simple();
        char message[128];
        op(&b, bad[i].head | BOTH, 2, zigzag(bad[i].offset), bad[i].size);
        snprintf(message, sizeof message, "byte 29: %s", bad[i].message);
        refused(&b, message);
    }
    struct builder b = simple();
    op(&b, TRACE_TOUCH | RW | BOTH, 2, zigzag(-4), N(2));
    op(&b, TRACE_TOUCH | RW | BOTH, 2, zigzag(-3), N(3));
    refused(&b, "byte 32: TOUCH of page 6 of region 0, which was touched before");
    b = simple(); /* a new protection does not make pages untouched */
    op(&b, TRACE_TOUCH | RW | BOTH, 2, zigzag(-4), N(2));
    op(&b, TRACE_PROTECT | R | BOTH, 2, zigzag(-2), N(2));
    op(&b, TRACE_TOUCH | R | BOTH, 2, zigzag(-2), N(2));
    refused(&b, "byte 35: TOUCH of page 6 of region 0, which was touched before");
}

Test(bench_trace, regions_that_are_not_there_are_refused) {
    struct builder b = simple();
    op(&b, TRACE_RELEASE | BOTH, 0);
    op(&b, TRACE_RELEASE | BOTH, 0);
    refused(&b, "byte 30: RELEASE of region 0, which is released");
    b = simple();
    op(&b, TRACE_RELEASE | SAME_THREAD, 1, zigzag(1));
    refused(&b, "byte 29: RELEASE of region 1, which is not reserved");
    b = simple();
    op(&b, TRACE_RELEASE | SAME_THREAD, 1, zigzag(-1));
    refused(&b, "byte 29: RELEASE of region 18446744073709551615, which is not reserved");
    b = (struct builder){.threads = 1, .regions = 1};
    op(&b, TRACE_RELEASE | BOTH, 0);
    refused(&b, "byte 24: RELEASE of region 0, which is not reserved");
    b = simple();
    op(&b, TRACE_RESERVE | SAME_THREAD, 1, N(1));
    b.regions = 1;
    refused(&b, "byte 29: more than the 1 regions of the header");
    b = simple();
    op(&b, TRACE_RELEASE | SAME_REGION, 1, N(1));
    refused(&b, "byte 30: a thread is 1, not 0 to 0");
}

Test(bench_trace, ranges_outside_a_region_are_refused_whatever_they_wrap_to) {
    const struct {
        int64_t offset;
        uint64_t size;
        const char *message;
    } bad[] = {
        {0, 7, "DECOMMIT of 7 pages from page 10 of region 0, which has 16"},
        {0, 0, "DECOMMIT of size 0"},
        {6, 1, "DECOMMIT of 1 pages from page 16 of region 0, which has 16"},
        {-11, 1, "DECOMMIT of 1 pages from page 18446744073709551615 of region 0, which has 16"},
        {0, UINT64_MAX,
         "DECOMMIT of 18446744073709551615 pages from page 10 of region 0, which has 16"},
        {INT64_MIN, 1,
         "DECOMMIT of 1 pages from page 9223372036854775818 of region 0, which has 16"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct builder b = simple();
        char message[128];
        op(&b, TRACE_DECOMMIT | BOTH, 2, zigzag(bad[i].offset), bad[i].size);
        snprintf(message, sizeof message, "byte 29: %s", bad[i].message);
        refused(&b, message);
    }
}

Test(bench_trace, reservations_end_at_the_address_space) {
    struct builder b = {.threads = 1};
    op(&b, TRACE_RESERVE | RW | SAME_THREAD, 1, N(1) << 35);
    struct file file = build(&b);
    struct trace t;
    char error[256];
    cr_assert_eq(load(&file, &t, error, sizeof error), 0, "%s", error);
    cr_assert_eq(t.reserved_max, N(1) << 47);
    trace_free(&t);
    op(&b, TRACE_RESERVE | SAME_THREAD, 1, N(1));
    refused(&b, "byte 31: RESERVE of 1 pages: more than 128 TiB reserved at once");
    b = (struct builder){.threads = 1};
    op(&b, TRACE_RESERVE | SAME_THREAD, 1, (N(1) << 35) + 1);
    refused(&b,
            "byte 24: RESERVE of 34359738369 pages from page 0 of region 0, which has 34359738368");
}

Test(bench_trace, every_truncation_is_refused_inside_the_file) {
    struct builder b = simple();
    op(&b, TRACE_TOUCH | RW | BOTH, 2, zigzag(-8), N(200 - 192));
    op(&b, TRACE_RELEASE | BOTH, 0);
    struct file whole = build(&b);
    struct trace t;
    char error[256];
    cr_assert_eq(load(&whole, &t, error, sizeof error), 0, "%s", error);
    trace_free(&t);
    for (size_t size = 0; size < whole.size; size++) {
        struct file file = whole;
        file.size = size;
        cr_assert_eq(load(&file, &t, error, sizeof error), -1, "%zu bytes load", size);
        const char *byte = strstr(error, ": byte ");
        cr_assert_not_null(byte);
        cr_assert_leq(strtoul(byte + 7, NULL, 10), size);
    }
}

/* Damage with the right checksum: what still loads must keep every promise. */
Test(bench_trace, damage_is_refused_or_harmless) {
    struct builder b = simple();
    op(&b, TRACE_TOUCH | RW | BOTH, 2, zigzag(-8), N(8));
    op(&b, TRACE_RESERVE | R | SAME_THREAD, 1, N(9));
    op(&b, TRACE_PROTECT | RW | BOTH, 2, zigzag(3), N(2));
    op(&b, TRACE_DECOMMIT | SAME_THREAD, 3, zigzag(-1), zigzag(-7), N(5));
    op(&b, TRACE_RELEASE | BOTH, 0);
    struct file whole = build(&b);
    size_t loaded = 0;
    for (size_t at = 0; at < whole.size - 4; at++)
        for (int value = 0; value < 256; value++) {
            struct file file = whole;
            struct trace t;
            char error[256];
            file.bytes[at] = (unsigned char)value;
            if (value != whole.bytes[at])
                cr_assert_eq(load(&file, &t, error, sizeof error), -1, "checksum ignored");
            file.size -= 4;
            seal(&file);
            if (load(&file, &t, error, sizeof error) == 0) {
                loaded++;
                check_promises(&t);
                trace_free(&t);
            }
        }
    cr_assert_gt(loaded, whole.size); /* the damage reaches past the header checks */
}

Test(bench_trace, recorded_traces_load_and_are_of_a_size_to_replay) {
    DIR *directory = opendir(TRACE_DIRECTORY);
    cr_assert_not_null(directory);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char path[1024], error[256];
        struct trace t;
        if (strstr(entry->d_name, ".trace") == NULL)
            continue;
        snprintf(path, sizeof path, "%s/%s", TRACE_DIRECTORY, entry->d_name);
        cr_assert_eq(trace_load(path, &t, error, sizeof error), 0, "%s", error);
        cr_expect_leq(t.op_count, 200000);
        cr_expect_leq(t.touched_max, UINT64_C(2) << 30);
        cr_expect_eq(t.counts[TRACE_RESERVE], t.counts[TRACE_RELEASE]);
        cr_expect_gt(t.counts[TRACE_TOUCH], 0);
        cr_expect_lt(t.calls_dropped, t.calls_seen);
        check_promises(&t);
        trace_free(&t);
        count++;
    }
    closedir(directory);
    cr_assert_geq(count, 3);
}
