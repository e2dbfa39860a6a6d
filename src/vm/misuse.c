/* SPDX-License-Identifier: MIT */
/* misuse: from a refusal to a text that is put together later, or to a report. */
#include "vm/misuse.h"

#include "base/site.h"
#include "os/os.h"
#include "region/history.h"
#include "vm/corruption.h"
#include "vm/range.h"

static void tell(const struct moat_refusal *refusal) {
    struct moat_verdict verdict = {0};
    moat_misuse_explain(refusal, &verdict);
    moat_error_set("%s", verdict.sentence.text);
}

static void write_report(const struct moat_refusal *refusal, const struct moat_verdict *verdict,
                         struct moat_report_text *report) {
    const struct moat_status_info *info = moat_status_describe((enum moat_status)refusal->status);

    moat_report_add(report, "moat: %s: %s\n", moat_finding_name(verdict->kind),
                    verdict->sentence.text);
    moat_report_add(report, "  in %s, address %#lx, ", refusal->call,
                    (unsigned long)refusal->address);
    if (refusal->size != MOAT_MISUSE_NO_SIZE)
        moat_report_add(report, "size %zu, ", refusal->size);
    moat_report_add(report, "by thread %u", moat_os_thread());
    moat_report_add_site(report, moat_site());
    if (refusal->status)
        moat_report_add(report,
                        "\n  refused with %s, Win32 error %u, HRESULT %#x; nothing has changed\n",
                        info->name, info->win32_error, info->hresult);
    else
        moat_report_add(report, "\n  not refused: the call goes on\n");
    if (verdict->base)
        moat_report_add(report, "  the region of %zu bytes at %#lx\n", verdict->size,
                        (unsigned long)verdict->base);
    moat_report_add_moment(report, "reserved", &verdict->born);
    moat_report_add_moment(report, verdict->released ? "released" : "decommitted", &verdict->ended);
    if (verdict->file)
        moat_report_add(report, "  allocated in %s:%d\n", verdict->file, verdict->line);
}

/* Whether a text is to be made. All kinds of misuse are wanted or none is; which kind it is may be
 * known only when the text is. */
static bool is_wanted(const struct moat_options *options) {
    return options && moat_report_wanted(options, MOAT_FOUND_FOREIGN);
}

static void report_refusal(const struct moat_options *options, const struct moat_refusal *refusal,
                           void (*explain)(const struct moat_refusal *, struct moat_verdict *)) {
    struct moat_report_text report = {0};
    struct moat_verdict verdict = {0};

    explain(refusal, &verdict);
    if (refusal->status) /* the text is of this moment, too */
        moat_error_set("%s", verdict.sentence.text);
    write_report(refusal, &verdict, &report);
    moat_report_tell(options, verdict.kind, (enum moat_status)refusal->status, refusal->address,
                     &report);
}

enum moat_status moat_misuse_refuse_as(const struct moat_options *options,
                                       const struct moat_refusal *refusal,
                                       void (*explain)(const struct moat_refusal *,
                                                       struct moat_verdict *)) {
    enum moat_status status = (enum moat_status)refusal->status;
    enum moat_status answer = moat_corruption_refusal(status, refusal->call, refusal->address);

    if (answer != status)
        return answer == MOAT_CORRUPT ? answer : moat_fail_latched(refusal->call, refusal->address);
    moat_error_refuse(refusal);
    if (is_wanted(options))
        report_refusal(options, refusal, explain);
    return status;
}

enum moat_status moat_misuse_refuse(const struct moat_options *options,
                                    struct moat_refusal *refusal) {
    refusal->tell = tell;
    return moat_misuse_refuse_as(options, refusal, moat_misuse_explain);
}

void moat_misuse_pass(const struct moat_options *options, struct moat_refusal *refusal) {
    if (is_wanted(options))
        report_refusal(options, refusal, moat_misuse_explain);
}
