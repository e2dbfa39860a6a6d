/* SPDX-License-Identifier: MIT */
/* report: from a finding to whoever is to know. */
#include "vm/report.h"

#include "os/os.h"

#include <stdlib.h>

static const char *const names[MOAT_FOUND_KINDS] = {
    [MOAT_FOUND_FOREIGN] = "foreign",
    [MOAT_FOUND_OTHER_MANAGER] = "other-manager",
    [MOAT_FOUND_ALREADY_FREED] = "already-freed",
    [MOAT_FOUND_INTERIOR] = "interior",
    [MOAT_FOUND_WRONG_SIZE] = "wrong-size",
    [MOAT_FOUND_ACROSS_REGIONS] = "across-regions",
    [MOAT_FOUND_UNKNOWN_TYPE] = "unknown-type",
    [MOAT_FOUND_RELEASE_WITH_SIZE] = "release-with-size",
    [MOAT_FOUND_OWN_STACK] = "own-stack",
    [MOAT_FOUND_PROTECT_UNCOMMITTED] = "protect-uncommitted",
    [MOAT_FOUND_PROTECT_FOREIGN] = "protect-foreign",
    [MOAT_FOUND_EXECUTE] = "execute",
    [MOAT_FOUND_LOCK_HELD] = "lock-held",
    [MOAT_FOUND_LEAK] = "leak",
    [MOAT_FOUND_WRITE_AFTER_FREE] = "write-after-free",
    [MOAT_FOUND_TRAP] = "trap",
    [MOAT_FOUND_LOCK_ABANDONED] = "lock-abandoned",
    [MOAT_FOUND_CORRUPTION] = "corruption",
    [MOAT_FOUND_LIMIT] = "limit",
};

const char *moat_finding_name(enum moat_finding_kind kind) {
    return (unsigned)kind < MOAT_FOUND_KINDS ? names[kind] : "?";
}

/* A call that is refused, or was let pass. Leaks have an option of their own. */
static bool is_misuse(enum moat_finding_kind kind) {
    return kind < MOAT_FOUND_LEAK;
}

void moat_report_add(struct moat_report_text *report, const char *format, ...) {
    size_t room = sizeof(report->text) - report->length;
    va_list arguments;

    va_start(arguments, format);
    size_t length = moat_format_list(report->text + report->length, room, format, arguments);
    va_end(arguments);
    report->length += length < room ? length : room - 1;
}

static bool is_fatal(const struct moat_options *options, enum moat_finding_kind kind) {
    if (kind == MOAT_FOUND_CORRUPTION)
        return options->on_corruption == MOAT_ON_CORRUPTION_ABORT;
    return (is_misuse(kind) || kind == MOAT_FOUND_WRITE_AFTER_FREE) &&
           options->misuse == MOAT_MISUSE_ABORT;
}

bool moat_report_wanted(const struct moat_options *options, enum moat_finding_kind kind) {
    if (is_misuse(kind) && options->misuse == MOAT_MISUSE_FAIL)
        return false;
    return options->report != MOAT_REPORT_OFF || is_fatal(options, kind);
}

void moat_report_tell(const struct moat_options *options, enum moat_finding_kind kind,
                      enum moat_status status, uintptr_t address,
                      const struct moat_report_text *report) {
    const struct moat_finding finding = {
        .kind = kind,
        .status = status,
        .address = (const void *)address,
        .text = report->text,
        .length = report->length,
    };

    if (!moat_report_wanted(options, kind))
        return;
    if (options->report != MOAT_REPORT_OFF) {
        if (options->report_function)
            options->report_function(&finding, options->report_context);
        else
            moat_os_complain(report->text, report->length);
    }
    if (is_fatal(options, kind))
        abort();
}
