/* SPDX-License-Identifier: MIT */
/*
 * The rules by which tools/trace/convert turns recorded calls and faults into region operations, as
 * bench/traces/README.md states them: each test is a recording of a few lines and what it becomes.
 * The result is read by the reader of the benchmark, so it also keeps every promise of a trace. One
 * test is of the step before, from the text of perf to a recording.
 */
#define _POSIX_C_SOURCE 200809L

#include "trace.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADER "moat-raw 1\nprogram test\nlost 0\n"

/* Numbers are hexadecimal: 22 is private anonymous, 32 has MAP_FIXED; 3 is read-write. */
#define EXEC          "0 1 1 exec\n"
#define MAP4(where)   "0 1 1 mmap 0 4000 3 22 ffffffff = " #where "000\n"
#define NONE16(where) "0 1 1 mmap 0 10000 0 22 ffffffff = " #where "000\n"
#define FAULT(where)  "0 1 1 fault " #where "123\n"

static char *text_of(const char *path) {
    static char text[8192];
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

/* Run a tool on a text; returns its exit status and leaves its files at the paths. */
static int run(const char *tool, const char *raw, char raw_path[], char out_path[],
               char error_path[]) {
    char command[512];
    char *paths[] = {raw_path, out_path, error_path};
    for (int i = 0; i < 3; i++) {
        strcpy(paths[i], "/tmp/moat_convert_XXXXXX");
        int fd = mkstemp(paths[i]);
        cr_assert_neq(fd, -1);
        if (i == 0)
            cr_assert_eq(write(fd, raw, strlen(raw)), (ssize_t)strlen(raw));
        close(fd);
    }
    snprintf(command, sizeof command, "python3 '%s'%s %s >%s 2>%s", TRACE_TOOLS, tool, raw_path,
             out_path, error_path);
    return system(command);
}

static void print_op(char *text, size_t size, const struct trace_op *op) {
    static const char *const names[] = {"RESERVE", "COMMIT",  "DECOMMIT",
                                        "PROTECT", "RELEASE", "TOUCH"};
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%d %s %" PRIu32 " %" PRIu64 " %" PRIu64 " %d\n", op->thread,
             names[op->kind], op->region, op->offset / 4096, op->size / 4096, op->prot);
}

/*
 * A recording must become these operations ("thread KIND region page count protection" a line) and
 * these drops ("count name" a line, calls first).
 */
static void becomes(const char *raw, const char *operations, const char *drops) {
    char paths[3][32], error[256], text[4096] = "", dropped[1024] = "";
    struct trace t;
    int status = run("/convert", raw, paths[0], paths[1], paths[2]);
    cr_assert_eq(status, 0, "%s", text_of(paths[2]));
    cr_assert_eq(trace_load(paths[1], &t, error, sizeof error), 0, "%s", error);
    for (int i = 0; i < 3; i++)
        unlink(paths[i]);
    for (size_t i = 0; i < t.op_count; i++)
        print_op(text, sizeof text, &t.ops[i]);
    cr_expect_str_eq(text, operations);
    for (size_t i = 0; i < t.call_drop_count + t.fault_drop_count; i++) {
        const struct trace_drop *drop =
            i < t.call_drop_count ? &t.call_drops[i] : &t.fault_drops[i - t.call_drop_count];
        size_t used = strlen(dropped);
        snprintf(dropped + used, sizeof dropped - used, "%" PRIu64 " %s\n", drop->count,
                 drop->name);
    }
    cr_expect_str_eq(dropped, drops);
    cr_expect_str_eq(t.name, "test");
    trace_free(&t);
}

static void refused(const char *raw, const char *message) {
    char paths[3][32], expected[256];
    cr_assert_neq(run("/convert", raw, paths[0], paths[1], paths[2]), 0);
    snprintf(expected, sizeof expected, "convert: %s: %s\n", paths[0], message);
    cr_expect_str_eq(text_of(paths[2]), expected);
    cr_expect_str_eq(text_of(paths[1]), "", "a refused recording leaves no trace");
    for (int i = 0; i < 3; i++)
        unlink(paths[i]);
}

Test(bench_convert, mmap_is_a_region_and_exit_releases_it) {
    becomes(HEADER EXEC MAP4(10) NONE16(20) "0 1 1 exit\n",
            "0 RESERVE 0 0 4 3\n0 RESERVE 1 0 16 0\n0 RELEASE 0 0 0 0\n0 RELEASE 1 0 0 0\n", "");
}

Test(bench_convert, a_recording_that_ends_early_is_released_too) {
    becomes(HEADER EXEC MAP4(10), "0 RESERVE 0 0 4 3\n0 RELEASE 0 0 0 0\n", "");
}

Test(bench_convert, sizes_are_rounded_up_and_write_implies_read) {
    becomes(HEADER EXEC "0 1 1 mmap 0 1001 2 22 ffffffff = 10000\n0 1 1 munmap 10000 1001 = 0\n",
            "0 RESERVE 0 0 2 3\n0 RELEASE 0 0 0 0\n", "");
}

Test(bench_convert, populate_touches_all) {
    becomes(HEADER EXEC "0 1 1 mmap 0 3000 3 8022 ffffffff = 10000\n",
            "0 RESERVE 0 0 3 3\n0 TOUCH 0 0 3 3\n0 RELEASE 0 0 0 0\n", "");
}

Test(bench_convert, failed_calls_and_files_are_dropped) {
    becomes(HEADER EXEC MAP4(10) "0 1 1 mmap 0 4000 3 22 ffffffff = fffffffffffffff4\n"
                                 "0 1 1 mmap 0 4000 1 2 3 = 40000\n"
                                 "0 1 1 mprotect 40000 1000 3 = 0\n"
                                 "0 1 1 munmap 40000 4000 = 0\n"
                                 "0 1 1 munmap 10000 4000 = ?\n" FAULT(40),
            "0 RESERVE 0 0 4 3\n0 RELEASE 0 0 0 0\n",
            "2 failed\n1 mmap: file mapping\n1 mprotect: not a region\n1 munmap: not a region\n"
            "1 not a region\n");
}

Test(bench_convert, mprotect_commits_or_protects_by_what_was) {
    becomes(HEADER EXEC NONE16(10) "0 1 1 mprotect 12000 4000 3 = 0\n"
                                   "0 1 1 mprotect 11000 3000 1 = 0\n"
                                   "0 1 1 mprotect 14000 1000 0 = 0\n"
                                   "0 1 1 mprotect 18000 1000 0 = 0\n",
            "0 RESERVE 0 0 16 0\n0 COMMIT 0 2 4 3\n0 COMMIT 0 1 1 1\n0 PROTECT 0 2 2 1\n"
            "0 PROTECT 0 4 1 0\n0 RELEASE 0 0 0 0\n",
            "1 mprotect: no effect\n");
}

Test(bench_convert, fixed_maps_inside_a_region_commit_and_decommit) {
    becomes(HEADER EXEC NONE16(10) "0 1 1 mmap 12000 4000 3 32 ffffffff = 12000\n"
                                   "0 1 1 mmap 14000 4000 3 32 ffffffff = 14000\n"
                                   "0 1 1 mmap 12000 8000 0 32 ffffffff = 12000\n"
                                   "0 1 1 mmap 12000 8000 0 32 ffffffff = 12000\n",
            "0 RESERVE 0 0 16 0\n0 COMMIT 0 2 4 3\n0 DECOMMIT 0 4 2 0\n0 COMMIT 0 4 4 3\n"
            "0 DECOMMIT 0 2 6 0\n0 RELEASE 0 0 0 0\n",
            "1 mmap: no effect\n");
}

Test(bench_convert, fixed_maps_beyond_a_region_replace_it) {
    becomes(HEADER EXEC MAP4(10) "0 1 1 mmap 12000 4000 3 32 ffffffff = 12000\n"
                                 "0 1 1 mmap 10000 2000 1 12 3 = 10000\n",
            "0 RESERVE 0 0 4 3\n0 DECOMMIT 0 2 2 0\n0 RESERVE 1 0 4 3\n0 RELEASE 0 0 0 0\n"
            "0 RELEASE 1 0 0 0\n",
            "1 mmap: file mapping\n");
}

Test(bench_convert, a_partial_munmap_decommits_and_the_last_releases) {
    becomes(HEADER EXEC MAP4(10) "0 1 1 munmap 11000 1000 = 0\n"
                                 "0 1 1 munmap 10000 2000 = 0\n" FAULT(11)
                                     MAP4(40) "0 1 1 munmap 10000 40000 = 0\n",
            "0 RESERVE 0 0 4 3\n0 DECOMMIT 0 1 1 0\n0 DECOMMIT 0 0 1 0\n0 RESERVE 1 0 4 3\n"
            "0 RELEASE 0 0 0 0\n0 RELEASE 1 0 0 0\n",
            "1 not a region\n");
}

Test(bench_convert, an_address_is_reused_by_a_new_region) {
    becomes(HEADER EXEC MAP4(10) "0 1 1 munmap 10000 1000 = 0\n"
                                 "0 1 1 mmap 0 1000 1 22 ffffffff = 10000\n" FAULT(10),
            "0 RESERVE 0 0 4 3\n0 DECOMMIT 0 0 1 0\n0 RESERVE 1 0 1 1\n0 TOUCH 1 0 1 1\n"
            "0 RELEASE 1 0 0 0\n0 RELEASE 0 0 0 0\n",
            "");
}

Test(bench_convert, dontneed_and_free_decommit_and_commit) {
    becomes(HEADER EXEC MAP4(10) FAULT(10) "0 1 1 madvise 10000 2000 4 = 0\n" FAULT(
                10) "0 1 1 madvise 10000 1000 8 = 0\n"
                    "0 1 1 madvise 10000 1000 10 = 0\n",
            "0 RESERVE 0 0 4 3\n0 TOUCH 0 0 1 3\n0 DECOMMIT 0 0 2 0\n0 COMMIT 0 0 2 3\n"
            "0 TOUCH 0 0 1 3\n0 DECOMMIT 0 0 1 0\n0 COMMIT 0 0 1 3\n0 RELEASE 0 0 0 0\n",
            "1 madvise: DONTDUMP\n");
}

Test(bench_convert, dontneed_keeps_protections_and_skips_what_is_not_committed) {
    becomes(HEADER EXEC NONE16(10) "0 1 1 mprotect 11000 2000 3 = 0\n"
                                   "0 1 1 mprotect 12000 1000 1 = 0\n"
                                   "0 1 1 madvise 10000 10000 4 = 0\n"
                                   "0 1 1 madvise 15000 1000 4 = 0\n",
            "0 RESERVE 0 0 16 0\n0 COMMIT 0 1 2 3\n0 PROTECT 0 2 1 1\n0 DECOMMIT 0 1 2 0\n"
            "0 COMMIT 0 1 1 3\n0 COMMIT 0 2 1 1\n0 RELEASE 0 0 0 0\n",
            "1 madvise: no effect\n");
}

Test(bench_convert, mremap_that_grows_copies_what_was_touched) {
    becomes(HEADER EXEC MAP4(10) FAULT(11)
                FAULT(12) "0 1 1 mremap 10000 4000 6000 1 0 = 50000\n" FAULT(55),
            "0 RESERVE 0 0 4 3\n0 TOUCH 0 1 2 3\n0 RESERVE 1 0 6 3\n0 TOUCH 1 1 2 3\n"
            "0 RELEASE 0 0 0 0\n0 TOUCH 1 5 1 3\n0 RELEASE 1 0 0 0\n",
            "");
}

Test(bench_convert, mremap_in_place_grows_into_a_new_region_and_shrinks_the_old) {
    becomes(HEADER EXEC MAP4(10) "0 1 1 mremap 10000 4000 5000 1 0 = 10000\n"
                                 "0 1 1 mremap 10000 5000 2000 1 0 = 10000\n",
            "0 RESERVE 0 0 4 3\n0 RESERVE 1 0 5 3\n0 RELEASE 0 0 0 0\n0 DECOMMIT 1 2 3 0\n"
            "0 RELEASE 1 0 0 0\n",
            "");
}

Test(bench_convert, mremap_carries_mixed_protections) {
    becomes(HEADER EXEC NONE16(10) "0 1 1 mprotect 11000 3000 3 = 0\n"
                                   "0 1 1 mprotect 13000 1000 0 = 0\n"
                                   "0 1 1 mremap 11000 3000 3000 3 50000 = 50000\n",
            "0 RESERVE 0 0 16 0\n0 COMMIT 0 1 3 3\n0 PROTECT 0 3 1 0\n0 RESERVE 1 0 3 0\n"
            "0 COMMIT 1 0 2 3\n0 COMMIT 1 2 1 1\n0 PROTECT 1 2 1 0\n0 DECOMMIT 0 1 3 0\n"
            "0 RELEASE 0 0 0 0\n0 RELEASE 1 0 0 0\n",
            "");
}

Test(bench_convert, the_heap_is_one_region_as_large_as_it_gets) {
    becomes(HEADER EXEC "0 1 1 brk 0 = 10000\n"
                        "0 1 1 brk 12000 = 12000\n" FAULT(11) "0 1 1 brk 11000 = 11000\n"
                                                              "0 1 1 brk 14000 = 14000\n"
                                                              "0 1 1 brk 14800 = 14000\n"
                                                              "0 1 1 brk 13000 = 13000\n",
            "0 RESERVE 0 0 4 0\n0 COMMIT 0 0 2 3\n0 TOUCH 0 1 1 3\n0 DECOMMIT 0 1 1 0\n"
            "0 COMMIT 0 1 3 3\n0 DECOMMIT 0 3 1 0\n0 RELEASE 0 0 0 0\n",
            "1 brk: failed\n1 brk: query\n");
}

/* The child grows what it inherited: only its own growth is a region of its own. */
Test(bench_convert, a_child_has_a_heap_of_its_own_growth) {
    becomes(HEADER EXEC "0 1 1 brk 0 = 10000\n0 1 1 brk 12000 = 12000\n0 2 2 fork 1 1\n"
                        "0 2 2 brk 13000 = 13000\n0 2 2 fault 12000\n0 2 2 fault 11000\n"
                        "0 2 2 brk 11000 = 11000\n0 2 2 exit\n",
            "0 RESERVE 0 0 2 0\n0 COMMIT 0 0 2 3\n1 RESERVE 1 0 1 0\n1 COMMIT 1 0 1 3\n"
            "1 TOUCH 1 0 1 3\n1 DECOMMIT 1 0 1 0\n1 RELEASE 1 0 0 0\n0 RELEASE 0 0 0 0\n",
            "1 brk: query\n1 inherited\n");
}

Test(bench_convert, a_thread_that_ends_releases_nothing) {
    becomes(HEADER EXEC "0 1 2 fork 1 1\n" MAP4(10) "0 1 2 fault 10000\n0 1 2 exit\n" FAULT(11),
            "0 RESERVE 0 0 4 3\n1 TOUCH 0 0 1 3\n0 TOUCH 0 1 1 3\n0 RELEASE 0 0 0 0\n", "");
}

/* 300 pages from the last to the first: the first 256 of them do not wait for an operation. */
Test(bench_convert, touches_wait_for_256_at_most) {
    char raw[16384] = HEADER EXEC "0 1 1 mmap 0 12c000 3 22 ffffffff = 100000\n";
    for (int page = 299; page >= 0; page--) {
        size_t used = strlen(raw);
        snprintf(raw + used, sizeof raw - used, "0 1 1 fault %x\n", 0x100000 + page * 4096);
    }
    becomes(raw, "0 RESERVE 0 0 300 3\n0 TOUCH 0 44 256 3\n0 TOUCH 0 0 44 3\n0 RELEASE 0 0 0 0\n",
            "");
}

Test(bench_convert, touches_become_runs_in_order_at_the_next_operation) {
    becomes(HEADER EXEC MAP4(10) FAULT(12) FAULT(10) FAULT(11)
                FAULT(11) "0 1 1 fork 1 1\n"
                          "0 1 2 fork 1 1\n0 1 2 fault 13000\n0 1 2 mprotect 13000 1000 1 = 0\n",
            "0 RESERVE 0 0 4 3\n1 TOUCH 0 3 1 3\n0 TOUCH 0 0 3 3\n1 PROTECT 0 3 1 1\n"
            "0 RELEASE 0 0 0 0\n",
            "1 touched before\n");
}

Test(bench_convert, touches_that_cannot_be_replayed_are_dropped) {
    becomes(HEADER EXEC NONE16(10) FAULT(10) "0 1 1 mprotect 11000 1000 3 = 0\n"
                                             "0 1 1 mprotect 11000 1000 0 = 0\n" FAULT(11),
            "0 RESERVE 0 0 16 0\n0 COMMIT 0 1 1 3\n0 PROTECT 0 1 1 0\n0 RELEASE 0 0 0 0\n",
            "1 no access\n1 not committed\n");
}

Test(bench_convert, a_child_does_not_own_what_it_inherits) {
    becomes(HEADER EXEC MAP4(10) "0 2 2 fork 1 1\n0 2 2 fault 10000\n"
                                 "0 2 2 munmap 10000 4000 = 0\n"
                                 "0 2 2 mmap 0 4000 3 22 ffffffff = 10000\n0 2 2 fault 10000\n"
                                 "0 2 2 exec\n0 2 2 exit\n" FAULT(10),
            "0 RESERVE 0 0 4 3\n1 RESERVE 1 0 4 3\n1 TOUCH 1 0 1 3\n1 RELEASE 1 0 0 0\n"
            "0 TOUCH 0 0 1 3\n0 RELEASE 0 0 0 0\n",
            "1 munmap: inherited\n1 inherited\n");
}

Test(bench_convert, children_touch_shared_memory_of_their_parent) {
    becomes(HEADER EXEC "0 1 1 mmap 0 4000 3 21 ffffffff = 10000\n0 2 2 fork 1 1\n"
                        "0 2 2 fault 10000\n0 2 2 madvise 10000 1000 4 = 0\n0 2 2 exit\n" FAULT(10),
            "0 RESERVE 0 0 4 3\n1 TOUCH 0 0 1 3\n0 RELEASE 0 0 0 0\n",
            "1 madvise: inherited\n1 touched before\n");
}

Test(bench_convert, shared_memory_outlives_dontneed_but_not_remove) {
    becomes(HEADER EXEC "0 1 1 mmap 0 4000 3 21 ffffffff = 10000\n"
                        "0 1 1 madvise 10000 1000 4 = 0\n"
                        "0 1 1 madvise 10000 1000 9 = 0\n",
            "0 RESERVE 0 0 4 3\n0 DECOMMIT 0 0 1 0\n0 COMMIT 0 0 1 3\n0 RELEASE 0 0 0 0\n",
            "1 madvise: no effect\n");
}

/* Another thread gets the pages of munmap before munmap returns: it must come first. */
Test(bench_convert, calls_stand_where_they_take_effect) {
    char paths[3][32];
    int status =
        run("/perfscript.py test <",
            "    0/0         0.000000000: PERF_RECORD_COMM: perf-exec:7/7\n"
            "    7/7         5.000000001: PERF_RECORD_COMM exec: a b:7/7\n"
            "    7/7         5.000000002: PERF_RECORD_FORK(7:8):(7:7)\n"
            "    7/7         5.000000003: syscalls:sys_enter_munmap: addr: 0x00010000, "
            "len: 0x00001000               0\n"
            "    7/8         5.000000004: syscalls:sys_enter_mmap: addr: 0x00000000, "
            "len: 0x00001000, prot: 0x00000003, flags: 0x00000022, fd: 0xffffffff, "
            "off: 0x00000000               0\n"
            "    7/8         5.000000005: page-faults:     7f0000012345\n"
            "    7/8         5.000000006: syscalls:sys_exit_mmap: 0x10000               0\n"
            "    7/7         5.000000007: syscalls:sys_exit_munmap: 0x0               0\n"
            "    7/7         5.000000008: syscalls:sys_exit_brk: 0x0               0\n"
            "    7/7         5.000000009: syscalls:sys_enter_munmap: addr: 0x00020000, "
            "len: 0x00001000               0\n"
            "    7/7         6.000000000: PERF_RECORD_LOST lost 3\n"
            "    7/8         6.000000001: PERF_RECORD_EXIT(7:8):(7:7)\n",
            paths[0], paths[1], paths[2]);
    cr_assert_eq(status, 0, "%s", text_of(paths[2]));
    cr_expect_str_eq(text_of(paths[1]),
                     "moat-raw 1\nprogram test\nlost 3\n0 7 7 exec\n1 7 8 fork 7 7\n"
                     "2 7 7 munmap 0x00010000 0x00001000 = 0x0\n4 7 8 fault 7f0000012345\n"
                     "5 7 8 mmap 0x00000000 0x00001000 0x00000003 0x00000022 0xffffffff = 0x10000\n"
                     "8 7 7 munmap 0x00020000 0x00001000 = ?\n1000000000 7 8 exit\n");
    for (int i = 0; i < 3; i++)
        unlink(paths[i]);
}

Test(bench_convert, recordings_that_do_not_parse_are_refused_by_line) {
    refused("", "line 1: not a recording (expected 'moat-raw 1')");
    refused("moat-raw 1\nlost 0\n", "line 2: expected 'program' and a value");
    refused("moat-raw 1\nprogram x\n", "line 3: expected 'lost' and a value");
    refused(HEADER "0 1 1 mmap 0 1000 = 0\n",
            "line 4: mmap has 5 arguments and a result: 0 1 1 mmap 0 1000 = 0");
    refused(HEADER EXEC "0 1 1 boom\n", "line 5: unknown event: 0 1 1 boom");
    refused(HEADER "0 1\n", "line 4: list index out of range: 0 1");
    refused(HEADER "0 1 1 fault zz\n",
            "line 4: invalid literal for int() with base 16: 'zz': 0 1 1 fault zz");
    refused(HEADER EXEC, "no region operations in this recording");
}
