/* SPDX-License-Identifier: MIT */
/*
 * report: a text that is longer than there is room for is cut, and is a text and a line all the
 * same, however often something is added to it.
 */
#include "vm/report.h"

#include <criterion/criterion.h>
#include <string.h>

Test(vm_report, a_text_that_is_too_long_is_cut_at_the_end_of_a_line) {
    static struct {
        struct moat_report_text report;
        char behind[64];
    } room;
    memset(room.behind, '#', sizeof room.behind);
    for (unsigned line = 0; line < 2 * MOAT_REPORT_SIZE / 16; line++) {
        moat_report_add(&room.report, "line %08u, end\n", line);
        cr_assert_lt(room.report.length, sizeof room.report.text);
        cr_assert_eq(room.report.text[room.report.length], '\0');
        cr_assert_eq(room.report.text[room.report.length - 1], '\n');
    }
    cr_assert_eq(room.report.length, sizeof room.report.text - 1, "all of the room is used");
    for (size_t i = 0; i < sizeof room.behind; i++)
        cr_assert_eq(room.behind[i], '#');
}

Test(vm_report, a_call_from_nobody_knows_where_adds_nothing) {
    struct moat_report_text report = {0};
    moat_report_add_site(&report, 0);
    cr_assert_eq(report.length, (size_t)0);
}
