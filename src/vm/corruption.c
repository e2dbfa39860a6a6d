/* SPDX-License-Identifier: MIT */
/* corruption: the status, and a report that says all there is to know. */
#include "vm/corruption.h"

#include "base/error_text.h"
#include "base/site.h"
#include "os/os.h"
#include "region/frozen.h"
#include "region/integrity.h"
#include "region/latch.h"
#include "vm/manager.h"
#include "vm/report.h"

/* The options that count for a finding: none of its own words is followed, only compared. */
static struct moat_options options_for(const struct moat_latch_facts *facts) {
    const struct moat_manager *chosen = NULL;
    struct moat_options options;
    bool fatal = false;

    for (size_t nth = 0; nth < moat_frozen_count(); nth++) {
        const struct moat_manager *manager = moat_frozen_nth(nth);
        /* One that is being made has no options yet. */
        if (!manager || manager->options.struct_size == 0)
            continue;
        if (!chosen || (facts->recorded && facts->record.owner == manager))
            chosen = manager;
        fatal = fatal || manager->options.on_corruption == MOAT_ON_CORRUPTION_ABORT;
    }
    if (chosen)
        options = chosen->options;
    else
        moat_options_init(&options);
    if (fatal)
        options.on_corruption = MOAT_ON_CORRUPTION_ABORT;
    return options;
}

static void add_record(struct moat_report_text *report, const struct moat_region_ref *record) {
    moat_report_add(report,
                    "  record    %u at %#lx, generation %u: %zu bytes at %#lx, protection %#x, "
                    "flags %#x\n",
                    record->handle, (unsigned long)(uintptr_t)record->region, record->generation,
                    record->size, (unsigned long)record->base, record->protection, record->flags);
    moat_report_add(report, "  fields    space %#lx, owner %#lx, span %#lx to %#lx\n",
                    (unsigned long)(uintptr_t)record->space,
                    (unsigned long)(uintptr_t)record->owner, (unsigned long)record->span_start,
                    (unsigned long)record->span_end);
}

static void add_kernel(struct moat_report_text *report, uintptr_t address) {
    struct moat_os_mapping mapping;
    uintptr_t page = moat_round_down(address, MOAT_PAGE);

    if (page >= MOAT_OS_ADDRESS_END || moat_os_query(page, &mapping)) {
        moat_report_add(report, "  kernel    does not say what lies there\n");
        return;
    }
    moat_report_add(report, "  kernel    has %#lx to %#lx ", (unsigned long)mapping.start,
                    (unsigned long)mapping.end);
    if (!mapping.mapped) {
        moat_report_add(report, "not mapped\n");
        return;
    }
    moat_report_add(report, "mapped %s%s%s, %s%s\n", mapping.access & MOAT_OS_READ ? "r" : "-",
                    mapping.access & MOAT_OS_WRITE ? "w" : "-",
                    mapping.access & MOAT_OS_EXECUTE ? "x" : "-",
                    mapping.shared ? "shared" : "private", mapping.file ? ", of a file" : "");
}

void moat_corruption_tell(const char *call) {
    const struct moat_latch_facts *facts = moat_latch_take_facts();
    struct moat_report_text report = {0};

    if (!facts)
        return;
    const struct moat_options options = options_for(facts);
    moat_report_add(&report, "moat: %s: %s\n", moat_finding_name(MOAT_FOUND_CORRUPTION),
                    facts->what);
    moat_report_add(&report, "  found     at %#lx, by thread %u, in %s",
                    (unsigned long)facts->address, facts->thread, call);
    moat_report_add_site(&report, moat_site());
    moat_report_add(&report, "\n");
    if (facts->compared)
        moat_report_add(&report, "  expected  %#lx, and found %#lx\n",
                        (unsigned long)facts->expected, (unsigned long)facts->found);
    if (facts->paged)
        moat_report_add(&report, "  page      %#x in the books\n", facts->state);
    if (facts->recorded)
        add_record(&report, &facts->record);
    add_kernel(&report, facts->address);
    moat_report_add(&report,
                    "  answer    MOAT_CORRUPT, this once; every later call in this process answers "
                    "MOAT_UNAVAILABLE\n"
                    "  advice    something here writes to memory, or maps it, that is not its own: "
                    "look for stray\n"
                    "            pointers first; memory of regions stays as it is, to be saved\n");
    moat_report_tell(&options, MOAT_FOUND_CORRUPTION, MOAT_CORRUPT, facts->address, &report);
}

enum moat_status moat_corruption_status(enum moat_status status, const char *call) {
    if (!moat_latched())
        return status;
    bool first = moat_latch_taken();
    moat_corruption_tell(call);
    if (first)
        return MOAT_CORRUPT;
    /* What was not found, or seemed wrong, may be so for that very reason. */
    bool doubtful = status == MOAT_NOT_OURS || status == MOAT_INVALID_ADDRESS;
    return doubtful ? MOAT_UNAVAILABLE : status;
}

enum moat_status moat_corruption_refusal(enum moat_status status, const char *call,
                                         uintptr_t address) {
    if (status == MOAT_NOT_OURS || status == MOAT_INVALID_ADDRESS || status == MOAT_LEAVES_REGION)
        moat_region_audit(address);
    return moat_corruption_status(status, call);
}
