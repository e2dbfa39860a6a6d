/* SPDX-License-Identifier: MIT */
/*
 * The codes are written here a second time, in hexadecimal from the interface documents, because a
 * slip in the one table would be a wrong answer on every face at once.
 */
#include <moat/status.h>

#include <criterion/criterion.h>
#include <string.h>

static const struct {
    enum moat_status status;
    const char *name;
    uint32_t win32;
    uint32_t hresult;
} expected[] = {
    {MOAT_OK, "MOAT_OK", 0, 0x00000000},
    {MOAT_INVALID_ARGUMENT, "MOAT_INVALID_ARGUMENT", 87, 0x80070057},
    {MOAT_INVALID_ADDRESS, "MOAT_INVALID_ADDRESS", 487, 0x800701E7},
    {MOAT_NOT_OURS, "MOAT_NOT_OURS", 487, 0x80131022},
    {MOAT_LEAVES_REGION, "MOAT_LEAVES_REGION", 87, 0x80070057},
    {MOAT_NO_ACCESS, "MOAT_NO_ACCESS", 998, 0x80004003},
    {MOAT_BAD_LENGTH, "MOAT_BAD_LENGTH", 24, 0x80070018},
    {MOAT_NO_MEMORY, "MOAT_NO_MEMORY", 8, 0x8007000E},
    {MOAT_COMMIT_LIMIT, "MOAT_COMMIT_LIMIT", 1455, 0x8007000E},
    {MOAT_MAP_LIMIT, "MOAT_MAP_LIMIT", 8, 0x8007000E},
    {MOAT_NOT_SUPPORTED, "MOAT_NOT_SUPPORTED", 50, 0x80070032},
    {MOAT_NO_PRIVILEGE, "MOAT_NO_PRIVILEGE", 1314, 0x80070522},
    {MOAT_TIMEOUT, "MOAT_TIMEOUT", 1460, 0x80131024},
    {MOAT_NOT_OWNER, "MOAT_NOT_OWNER", 288, 0x80131025},
    {MOAT_ABANDONED, "MOAT_ABANDONED", 735, 0x80131026},
    {MOAT_UNAVAILABLE, "MOAT_UNAVAILABLE", 1359, 0x80131023},
    {MOAT_CORRUPT, "MOAT_CORRUPT", 1359, 0x80004005},
    {MOAT_CONTENT_LOST, "MOAT_CONTENT_LOST", 31, 0x8007001F},
    {MOAT_NOT_LOCKED, "MOAT_NOT_LOCKED", 158, 0x8007009E},
    {MOAT_LOCK_LIMIT, "MOAT_LOCK_LIMIT", 1453, 0x800705AD},
    {MOAT_NO_LARGE_PAGES, "MOAT_NO_LARGE_PAGES", 1450, 0x8007000E},
    {MOAT_GUARD_TOUCHED, "MOAT_GUARD_TOUCHED", 0x80000001, 0x80000001},
    {MOAT_CODE_BLOCKED, "MOAT_CODE_BLOCKED", 1655, 0x80070677},
};

Test(status, every_status_has_its_codes_and_its_name) {
    cr_assert_eq(sizeof expected / sizeof expected[0], MOAT_STATUS_COUNT);
    for (unsigned i = 0; i < MOAT_STATUS_COUNT; i++) {
        const struct moat_status_info *info = moat_status_describe(expected[i].status);
        cr_assert_eq(expected[i].status, i, "%s", expected[i].name);
        cr_assert_str_eq(info->name, expected[i].name);
        cr_assert_eq(info->win32_error, expected[i].win32, "%s", info->name);
        cr_assert_eq(info->hresult, expected[i].hresult, "%s", info->name);
    }
}

Test(status, every_text_is_a_sentence_without_a_stop) {
    for (unsigned i = 0; i < MOAT_STATUS_COUNT; i++) {
        const char *text = moat_status_describe((enum moat_status)i)->text;
        cr_assert_gt(strlen(text), 5);
        cr_assert_neq(text[strlen(text) - 1], '.', "%s", text);
        cr_assert(text[0] >= 'a' && text[0] <= 'z', "%s", text);
    }
}

/* A face may be handed anything by a caller that casts. */
Test(status, values_outside_the_enumeration_are_corruption) {
    const struct moat_status_info *corrupt = moat_status_describe(MOAT_CORRUPT);
    cr_assert_eq(moat_status_describe(MOAT_STATUS_COUNT), corrupt);
    cr_assert_eq(moat_status_describe((enum moat_status)0x7FFFFFFF), corrupt);
    cr_assert_eq(moat_status_describe((enum moat_status) - 1), corrupt);
}
