/* SPDX-License-Identifier: MIT */
/* terms: a few bytes of the input are enough for all options. */
#include "terms.h"

#include "input.h"
#include "verify.h"

#include <string.h>

#define MIB ((uint64_t)1 << 20)

enum { TEXT_SIZE = 1024, MINUTE_MS = 60000 };

void terms_draw(struct moat_options *options) {
    unsigned choice = input_take(2);

    options->quarantine_regions = input_take(1) % 9;
    options->quarantine_bytes = choice & 1 ? MIB << (choice >> 12) : 64 * MIB;
    if (choice & 2) {
        unsigned guards = input_take(2);
        options->guard_before = guards % 40 + 1;
        options->guard_after = guards / 40 % 40 + 1;
        options->guard_random = choice & 4 ? guards >> 12 : 0;
    }
    options->placing = choice & 8 ? MOAT_PLACING_PACKED : MOAT_PLACING_RANDOM;
    options->zero = choice & 16 ? MOAT_ZERO_RELEASE : MOAT_ZERO_REUSE;
    options->misuse = choice & 32 ? MOAT_MISUSE_REPORT : MOAT_MISUSE_FAIL;
    options->execute = (choice & 0xC0) == 0xC0 ? MOAT_EXECUTE_WX : MOAT_EXECUTE_ANY;
    options->dump = choice & 0x100 ? MOAT_DUMP_NONE : MOAT_DUMP_COMMITTED;
    options->heap_poison = choice & 0x200 ? MOAT_HEAP_POISON_ON : MOAT_HEAP_POISON_OFF;
    options->fork = (enum moat_fork)((choice >> 10 & 3) % 3);
    options->commit = (enum moat_commit_policy)((choice >> 12 & 3) % 3);
    choice = input_take(1);
    if (choice & 1)
        options->retain_bytes = MIB / 4 << (choice >> 1 & 7);
    /* One release is put off, and traps with that: so what is released does when the call returns,
     * by way of all that defers. Who can bear more of them says so. */
    options->defer_regions = (choice & 0x30) == 0x30;
    options->defer_ms = MINUTE_MS;
}

void terms_say(unsigned owner, const struct moat_options *options) {
    char text[TEXT_SIZE];

    (void)moat_options_print(options, text, sizeof(text));
    verify_say("%u create %s", owner, text);
}

/* --- Reports --- */

static void listen(const struct moat_finding *finding, void *context) {
    struct terms_reports *reports = context;

    if (strlen(finding->text) != finding->length || finding->length == 0 ||
        finding->text[finding->length - 1] != '\n')
        verify_fail("a report of %zu bytes: %s", finding->length, finding->text);
    if (finding->kind >= MOAT_FOUND_LEAK) {
        *(finding->kind == MOAT_FOUND_WRITE_AFTER_FREE ? &reports->damage : &reports->others) += 1;
        if (finding->kind == MOAT_FOUND_CORRUPTION)
            verify_fail("%s", finding->text);
        return;
    }
    reports->misuse++;
    reports->last[0] = '\0';
    if (finding->status)
        memcpy(reports->last, finding->text, finding->length + 1);
    if (reports->answer)
        reports->answer(reports->context);
}

void terms_listen(struct moat_options *options, struct terms_reports *reports) {
    options->report = MOAT_REPORT_STDERR;
    options->report_function = listen;
    options->report_context = reports;
}

void terms_check(const struct moat_options *options, const struct terms_reports *reports,
                 uint64_t misuse) {
    uint64_t should = options->misuse == MOAT_MISUSE_FAIL ? 0 : misuse;

    if (reports->misuse != should)
        verify_fail("%llu reports of misuse, not %llu; the last one: %s",
                    (unsigned long long)reports->misuse, (unsigned long long)should, reports->last);
    if (reports->others)
        verify_fail("%llu reports of what nobody did", (unsigned long long)reports->others);
}
