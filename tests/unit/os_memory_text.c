/* SPDX-License-Identifier: MIT */
/*
 * the texts that tell of memory, piece by piece: numbers, keys, memberships, mounts and paths.
 *
 * Could fail by taking what is malformed for something else.
 */
#include "os/linux_memory.h"

#include <criterion/criterion.h>
#include <string.h>

Test(os_memory_text, numbers) {
    static const struct {
        const char *text;
        bool valid;
        uint64_t value;
    } rows[] = {
        {"0", true, 0},
        {"17\n", true, 17},
        {"17 kB\n", true, 17},
        {"max\n", true, UINT64_MAX},
        {"max", true, UINT64_MAX},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", true, UINT64_MAX},
        {"99999999999999999999999999", true, UINT64_MAX},
        {"9223372036854771712\n", true, UINT64_C(9223372036854771712)},
        {"", false, 0},
        {"\n", false, 0},
        {"-1\n", false, 0},
        {" 5", false, 0},
        {"5x", false, 0},
        {"maximum", false, 0},
        {"max5", false, 0},
        {"ma", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t value = 4711;
        cr_expect_eq(moat_linux_parse_number(rows[i].text, &value), rows[i].valid, "%s",
                     rows[i].text);
        cr_expect_eq(value, rows[i].valid ? rows[i].value : 4711, "%s", rows[i].text);
    }
}

Test(os_memory_text, keys_are_whole_words_at_the_start_of_a_line) {
    static const char text[] = "total_inactive_file 1\ninactive_file_x 2\nx inactive_file 3\n"
                               "inactive_file 4\ninactive_file 5\nlast 6";
    uint64_t value = 0;
    cr_assert(moat_linux_parse_key(text, "inactive_file", &value));
    cr_assert_eq(value, 4);
    cr_assert(moat_linux_parse_key(text, "last", &value));
    cr_assert_eq(value, 6);
    cr_assert_not(moat_linux_parse_key(text, "inactive", &value));
    cr_assert_not(moat_linux_parse_key("", "last", &value));
    cr_assert_not(moat_linux_parse_key("last", "last", &value));
    cr_assert_not(moat_linux_parse_key("last \n", "last", &value));
}

Test(os_memory_text, malformed_lines_are_no_membership) {
    static const char *const lines[] = {
        "",           ":",         "::",
        ":::",        "4",         "4:",
        "4:memory",   "4:memory:", "4:memory:relative",
        "x:memory:/", "::/",       "-1::/",
    };
    struct moat_linux_membership membership;
    char line[64];
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        strcpy(line, lines[i]);
        cr_expect_not(moat_linux_parse_membership(line, &membership), "%s", lines[i]);
    }
    strcpy(line, "4:cpu,memory:/a");
    cr_assert(moat_linux_parse_membership(line, &membership));
    cr_assert(membership.memory && !membership.unified);
    strcpy(line, "4:memory_x,xmemory:/a");
    cr_assert(moat_linux_parse_membership(line, &membership));
    cr_assert_not(membership.memory);
    strcpy(line, "10::/a");
    cr_assert(moat_linux_parse_membership(line, &membership));
    cr_assert_not(membership.unified);
}

Test(os_memory_text, malformed_lines_are_no_mount) {
    static const char *const lines[] = {
        "",
        " ",
        "1 2 3:4 / /x rw",
        "1 2 3:4 / /x rw - cgroup2",
        "1 2 3:4 / /x rw - cgroup2 source",
        "1 2 3:4 x /x rw - cgroup2 source rw",
        "1 2 3:4 / x rw - cgroup2 source rw",
        "1 2 3:4 / /x - cgroup2",
    };
    struct moat_linux_mount mount;
    char line[128];
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        strcpy(line, lines[i]);
        cr_expect_not(moat_linux_parse_mount(line, &mount), "%s", lines[i]);
    }
    strcpy(line, "1 2 3:4 / /x rw shared:1 master:2 unbindable - cgroup2 - rw");
    cr_assert(moat_linux_parse_mount(line, &mount));
    cr_assert(mount.unified && !mount.memory);
    strcpy(line, "1 2 3:4 /\\04 /x\\8 rw - cgroup c rw,memory");
    cr_assert(moat_linux_parse_mount(line, &mount));
    cr_assert(!mount.unified && mount.memory);
    cr_assert_str_eq(mount.root, "/\\04", "not an escape");
    cr_assert_str_eq(mount.point, "/x\\8");
}

Test(os_memory_text, paths_below_others) {
    static const struct {
        const char *root, *path, *below;
    } rows[] = {
        {"/", "/", ""},        {"/", "/a/b", "/a/b"},     {"/a", "/a", ""},
        {"/a", "/a/b", "/b"},  {"/a/", "/a/b", "/b"},     {"/a", "/ab", NULL},
        {"/a", "/", NULL},     {"/a/b", "/a", NULL},      {"/", "/..", NULL},
        {"/", "/../x", NULL},  {"/..", "/../x", "/x"},    {"/", "/a/../b", NULL},
        {"/", "/..a", "/..a"}, {"/", "/a../b", "/a../b"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *below = moat_linux_below(rows[i].root, rows[i].path);
        cr_expect_eq(below == NULL, rows[i].below == NULL, "%s %s", rows[i].root, rows[i].path);
        if (below && rows[i].below)
            cr_expect_str_eq(below, rows[i].below);
    }
}
