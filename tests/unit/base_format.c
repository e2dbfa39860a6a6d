/* SPDX-License-Identifier: MIT */
/*
 * The formatter is compared with the C library's wherever both promise the same.
 */
#include "base/format.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define SAME(...)                                                                                  \
    do {                                                                                           \
        char ours[256], theirs[256];                                                               \
        int length = snprintf(theirs, sizeof theirs, __VA_ARGS__);                                 \
        cr_assert_eq(moat_format(ours, sizeof ours, __VA_ARGS__), (size_t)length);                 \
        cr_assert_str_eq(ours, theirs);                                                            \
    } while (0)

Test(format, integers_of_every_length_print_as_in_the_c_library) {
    SAME("%d %d %d %i", 0, INT_MAX, INT_MIN, -1);
    SAME("%u %u %x %X", 0u, UINT_MAX, UINT_MAX, 0xBEEFu);
    SAME("%hhd %hhu %hd %hu", (signed char)-5, (unsigned char)250, (short)-30000,
         (unsigned short)60000);
    SAME("%ld %ld %lu %lx", LONG_MAX, LONG_MIN, ULONG_MAX, ULONG_MAX);
    SAME("%lld %lld %llu %llx", LLONG_MAX, LLONG_MIN, ULLONG_MAX, ULLONG_MAX);
    SAME("%zu %zx %zd", SIZE_MAX, SIZE_MAX, (ptrdiff_t)-3);
    SAME("%td %jd %ju", (ptrdiff_t)-77, INTMAX_MIN, UINTMAX_MAX);
    SAME("%" PRIu64 " %" PRIx64 " %" PRId32, UINT64_MAX, UINT64_C(1), INT32_MIN);
}

Test(format, width_zero_and_prefix_print_as_in_the_c_library) {
    SAME("%5d|%05d|%1d|%3d", -42, -42, 12345, 7);
    SAME("%02x|%08X|%#x|%#010x|%#x", 0xAu, 0xBEEFu, 0xBEEFu, 0xBEEFu, 0u);
    SAME("%*d|%0*d", 6, 42, 6, 42);
    SAME("%16" PRIx64, UINT64_C(0x7F0000000000));
}

Test(format, strings_and_characters_print_as_in_the_c_library) {
    SAME("%s", "");
    SAME("[%s] [%c] %%", "text", 'x');
    SAME("[%10s] [%.3s] [%.*s] [%8.2s]", "right", "cut off", 2, "cut", "both");
    SAME("no conversions at all");
    SAME("%s", "");
}

/* A piece of text that is not terminated must not be read past its precision. */
Test(format, precision_bounds_what_is_read) {
    char unterminated[4] = {'a', 'b', 'c', 'd'};
    char text[16];
    moat_format(text, sizeof text, "%.*s", 4, unterminated);
    cr_assert_str_eq(text, "abcd");
}

Test(format, null_is_an_address_and_a_text) {
    char text[64];
    const char *volatile nothing = NULL;
    moat_format(text, sizeof text, "%p %p", (void *)0x7F0012345000, (void *)0);
    cr_assert_str_eq(text, "0x7f0012345000 0x0");
    moat_format(text, sizeof text, "%s", nothing);
    cr_assert_str_eq(text, "(null)");
}

Test(format, what_does_not_fit_is_cut_counted_and_terminated) {
    for (size_t size = 0; size <= 12; size++) {
        char text[16];
        memset(text, '#', sizeof text);
        cr_assert_eq(moat_format(text, size, "%s=%d", "answer", 42), 9);
        size_t kept = size > 9 ? 9 : size - 1;
        if (size > 0) {
            cr_assert_eq(memcmp(text, "answer=42", kept), 0, "size %zu", size);
            cr_assert_eq(text[kept], '\0', "size %zu", size);
        }
        cr_assert_eq(text[size > 9 ? 10 : size], '#', "nothing is written past size %zu", size);
    }
    cr_assert_eq(moat_format(NULL, 0, "%zu", (size_t)12345), 5, "NULL measures");
}

/* Formats reach the function through variables here, or the compiler would refuse them. */
Test(format, unknown_conversions_are_copied_and_end_the_arguments) {
    char text[64];
    size_t (*format)(char *, size_t, const char *, ...) = moat_format;
    format(text, sizeof text, "a %f b %s", 1.5, (const char *)1);
    cr_assert_str_eq(text, "a %f b %s");
    format(text, sizeof text, "100%");
    cr_assert_str_eq(text, "100%");
    format(text, sizeof text, "%d%", 5);
    cr_assert_str_eq(text, "5%");
}
