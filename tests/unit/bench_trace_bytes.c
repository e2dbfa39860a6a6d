/* SPDX-License-Identifier: MIT */
/*
 * The primitives of the trace format: what is not a number, a string or a file is said with its
 * place.
 */
#include "trace_bytes.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static char error[128];

/* The bytes, and four more that stand for the checksum. */
static struct trace_bytes reader(const char *bytes, size_t size) {
    static unsigned char copy[64];
    memset(copy, 0, sizeof copy);
    memcpy(copy, bytes, size);
    error[0] = '\0';
    return (struct trace_bytes){.path = "p",
                                .bytes = copy,
                                .size = size + TRACE_BYTES_CHECKSUM_SIZE,
                                .error = error,
                                .error_size = sizeof error};
}

Test(bench_trace_bytes, checksum_is_crc32) {
    cr_assert_eq(trace_bytes_crc32((const unsigned char *)"123456789", 9), 0xcbf43926);
}

Test(bench_trace_bytes, numbers_reach_from_0_to_64_bits) {
    uint64_t number = 1;
    struct trace_bytes b = reader("\0", 1);
    cr_assert(trace_bytes_number(&b, "a number", &number));
    cr_assert_eq(number, 0);
    b = reader("\xac\x02", 2);
    cr_assert(trace_bytes_number(&b, "a number", &number));
    cr_assert_eq(number, 300);
    b = reader("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10);
    cr_assert(trace_bytes_number(&b, "a number", &number));
    cr_assert_eq(number, UINT64_MAX);
    b = reader("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10);
    cr_assert_not(trace_bytes_number(&b, "a number", &number));
    cr_assert_str_eq(error, "p: byte 0: a number does not fit 64 bits");
}

Test(bench_trace_bytes, the_checksum_is_not_decoded) {
    uint64_t number;
    struct trace_bytes b = reader("\x80", 1);
    cr_assert_not(trace_bytes_number(&b, "a number", &number));
    cr_assert_str_eq(error, "p: byte 1: truncated: the file ends inside a number");
}

Test(bench_trace_bytes, differences_have_both_signs) {
    const struct {
        const char *bytes;
        int64_t value;
    } cases[] = {{"\0", 0}, {"\x01", -1}, {"\x02", 1}, {"\x03", -2}, {"\x7e", 63}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t number;
        struct trace_bytes b = reader(cases[i].bytes, 1);
        cr_assert(trace_bytes_difference(&b, "a difference", &number));
        cr_expect_eq(number, (uint64_t)cases[i].value);
    }
}

Test(bench_trace_bytes, counts_keep_their_bounds) {
    uint64_t number;
    for (int value = 0; value < 128; value++) {
        char byte = (char)value;
        struct trace_bytes b = reader(&byte, 1);
        cr_expect_eq(trace_bytes_count(&b, "n", 5, 9, &number), value >= 5 && value <= 9);
    }
    cr_assert_str_eq(error, "p: byte 0: n is 127, not 5 to 9");
}

Test(bench_trace_bytes, strings_are_short_and_printable) {
    char text[TRACE_NAME_SIZE];
    struct trace_bytes b = reader("\3abc", 4);
    cr_assert(trace_bytes_string(&b, "a name", text));
    cr_assert_str_eq(text, "abc");
    b = reader("\2\tx", 3);
    cr_assert_not(trace_bytes_string(&b, "a name", text));
    cr_assert_str_eq(error, "p: byte 1: a name has the unprintable byte 0x09");
    b = reader("\x40", 1);
    cr_assert_not(trace_bytes_string(&b, "a name", text));
    cr_assert_str_eq(error, "p: byte 0: a name is 64, not 1 to 63");
    b = reader("\0", 1);
    cr_assert_not(trace_bytes_string(&b, "a name", text));
    b = reader("\4abc", 4);
    cr_assert_not(trace_bytes_string(&b, "a name", text));
    cr_assert_str_eq(error, "p: byte 4: truncated: the file ends inside a name");
}

Test(bench_trace_bytes, files_that_cannot_be_read_are_refused) {
    struct trace t;
    cr_assert_eq(trace_load("/nonexistent/a.trace", &t, error, sizeof error), -1);
    cr_assert_str_eq(error, "/nonexistent/a.trace: byte 0: cannot open: No such file or directory");
    cr_assert_eq(trace_load("/tmp", &t, error, sizeof error), -1);
    cr_assert_str_eq(error, "/tmp: byte 0: cannot read: Is a directory");
    cr_assert_eq(trace_load("/dev/null", &t, error, sizeof error), -1);
    cr_assert_str_eq(error, "/dev/null: byte 0: truncated: too short for a trace");
    cr_assert_eq(trace_load("/dev/zero", &t, error, sizeof error), -1);
    cr_assert_not_null(strstr(error, "longer than the 67108864 bytes a trace may have"));
}

Test(bench_trace_bytes, a_short_error_buffer_is_not_overrun) {
    struct trace t;
    char small[8] = "zzzzzzz";
    cr_assert_eq(trace_load("/nonexistent", &t, small, 4), -1);
    cr_assert_str_eq(small, "/no");
    cr_assert_eq(small[4], 'z');
    cr_assert_eq(trace_load("/nonexistent", &t, NULL, 0), -1);
}
