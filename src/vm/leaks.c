/* SPDX-License-Identifier: MIT */
/* leaks: regions that nobody released before their manager ends. */
#include "vm/leaks.h"

#include "region/latch.h"
#include "region/pages.h"

struct listing {
    const struct moat_options *options;
    size_t regions;
    size_t reserved;
    size_t committed;
};

static void list(const struct moat_region_ref *ref, void *context) {
    struct listing *listing = context;
    size_t committed = moat_pages_committed(ref->space, ref->base, ref->base + ref->size);
    struct moat_report_text report = {0};
    const struct moat_moment born = moat_history_birth(ref);

    listing->reserved += ref->size;
    listing->committed += committed;
    if (++listing->regions > MOAT_LEAKS_LISTED)
        return;
    moat_report_add(&report, "moat: leak: the region of %zu bytes at %#lx, %zu committed%s\n",
                    ref->size, (unsigned long)ref->base, committed,
                    moat_region_plain(ref) ? "" : ", of a heap");
    moat_report_add_moment(&report, "reserved", &born);
    moat_report_tell(listing->options, MOAT_FOUND_LEAK, MOAT_OK, ref->base, &report);
}

void moat_leaks_report(const struct moat_manager *manager) {
    struct listing listing = {.options = &manager->options};
    struct moat_report_text report = {0};

    if (manager->options.leaks != MOAT_LEAKS_REPORT || moat_latched() ||
        !moat_report_wanted(&manager->options, MOAT_FOUND_LEAK))
        return;
    moat_manager_each(manager, list, &listing);
    if (listing.regions == 0)
        return;
    moat_report_add(&report, "moat: leaks: %zu regions, %zu bytes reserved, %zu committed",
                    listing.regions, listing.reserved, listing.committed);
    if (listing.regions > MOAT_LEAKS_LISTED)
        moat_report_add(&report, "; %zu more than were listed",
                        listing.regions - MOAT_LEAKS_LISTED);
    moat_report_add(&report, "\n");
    moat_report_tell(&manager->options, MOAT_FOUND_LEAK, MOAT_OK, 0, &report);
}
