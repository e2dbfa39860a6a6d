/* SPDX-License-Identifier: MIT */
/* report: from a finding to whoever is to know. */
#include "vm/report.h"

#include "base/error_text.h"
#include "base/probe.h"
#include "os/os.h"
#include "vm/describe.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MS_PER_S 1000ul

/* How deep the stack of a host's function may be for its own findings to be known as such. */
#define DEPTH_MAX ((uintptr_t)1 << 20)

enum { PLACE_SIZE = 192 };

static const char *const names[MOAT_FOUND_KINDS] = {
    [MOAT_FOUND_FOREIGN] = "foreign",
    [MOAT_FOUND_OTHER_MANAGER] = "other-manager",
    [MOAT_FOUND_ALREADY_FREED] = "already-freed",
    [MOAT_FOUND_INTERIOR] = "interior",
    [MOAT_FOUND_HEAP_MEMORY] = "heap-memory",
    [MOAT_FOUND_OTHER_HEAP] = "other-heap",
    [MOAT_FOUND_WRONG_SIZE] = "wrong-size",
    [MOAT_FOUND_WRONG_START] = "wrong-start",
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
    if (length < room) {
        report->length += length;
        return;
    }
    report->length = sizeof(report->text) - 1;
    report->text[report->length - 1] = '\n'; /* lines end, also the one that is cut */
}

void moat_report_add_site(struct moat_report_text *report, uintptr_t site) {
    char place[PLACE_SIZE];

    if (!site)
        return;
    /* The call is before the place that it returns to, which may be in another function. */
    (void)moat_os_symbol(site - 1, place, sizeof(place));
    moat_report_add(report, " at %s", place);
}

void moat_report_add_age(struct moat_report_text *report, uint64_t time) {
    uint64_t now = moat_history_now();
    unsigned long ms = now > time ? (unsigned long)((now - time) / MOAT_OS_MS) : 0;

    moat_report_add(report, "%lu.%03lu s", ms / MS_PER_S, ms % MS_PER_S);
}

void moat_report_add_moment(struct moat_report_text *report, const char *deed,
                            const struct moat_moment *moment) {
    const struct moat_event event = moat_event_of(moment);
    char text[PLACE_SIZE + PLACE_SIZE];

    if (moat_event_print(deed, &event, text, sizeof(text)) > 0)
        moat_report_add(report, "  %s\n", text);
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

/* To be found in a core, and by the host's handler of SIGABRT. */
char moat_abort_text[MOAT_REPORT_SIZE];

static void end_process(const struct moat_report_text *report) {
    static _Atomic bool ending;

    /* relaxed: the text stands for itself. Of threads that end the process at once one keeps it. */
    if (!atomic_exchange_explicit(&ending, true, memory_order_relaxed))
        memcpy(moat_abort_text, report->text, report->length + 1);
    abort();
}

/* Whether the host's function runs in this thread, below the frame where it was called. If it left
 * by siglongjmp, which it may where an access trapped, the stack has been unwound since. */
static bool is_within(uintptr_t caller, uintptr_t frame) {
    return frame < caller && caller - frame < DEPTH_MAX;
}

/* A finding of the host's own function goes where it cannot come back from. */
static void hand_over(const struct moat_options *options, const struct moat_finding *finding) {
    static _Thread_local uintptr_t caller;
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    struct moat_error_state errors;

    if (!options->report_function || is_within(caller, frame)) {
        moat_os_complain(finding->text, finding->length);
        return;
    }
    caller = frame;
    moat_error_save(&errors);
    options->report_function(finding, options->report_context);
    moat_error_restore(&errors);
    caller = 0;
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

    MOAT_PROBE(finding, address, kind, report->length, status, report->text);
    if (!moat_report_wanted(options, kind))
        return;
    if (options->report != MOAT_REPORT_OFF)
        hand_over(options, &finding);
    if (is_fatal(options, kind))
        end_process(report);
}
