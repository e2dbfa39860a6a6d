/* SPDX-License-Identifier: MIT */
/* damage: the report of a write after free. */
#include "vm/damage.h"

#include "region/history.h"

#define ROW 16u

static const char *ending(size_t count) {
    return count == 1 ? "" : "s";
}

/* A row of bytes; those that were changed in brackets. */
static void show_row(struct moat_report_text *text, uintptr_t at, const unsigned char *found,
                     size_t count, uint8_t poison) {
    moat_report_add(text, "  %#lx:", (unsigned long)at);
    for (size_t i = 0; i < count; i++)
        moat_report_add(text, found[i] == poison ? " %02x " : "[%02x]", found[i]);
    moat_report_add(text, "\n");
}

void moat_damage_show(struct moat_report_text *text, const struct moat_damage *damage,
                      uint8_t poison) {
    for (size_t done = 0; done < damage->shown; done += ROW) {
        size_t left = damage->shown - done;
        show_row(text, damage->shown_at + done, damage->found + done, left < ROW ? left : ROW,
                 poison);
    }
    moat_report_add(text, "  expected: %02x in each byte\n", poison);
}

void moat_damage_tell_pages(const struct moat_region_ref *ref, const struct moat_damage *damage) {
    const struct moat_options *options = moat_manager_options(ref->owner);
    struct moat_report_text text = {0};
    struct moat_past past;

    if (!moat_report_wanted(options, MOAT_FOUND_WRITE_AFTER_FREE))
        return;
    moat_report_add(&text,
                    "moat: write after decommit: %zu byte%s in %zu page%s changed after the "
                    "page%s had been given back\n",
                    damage->bytes, ending(damage->bytes), damage->pieces, ending(damage->pieces),
                    ending(damage->pieces));
    moat_report_add(&text, "  first at %#lx, offset %#lx of the region at %#lx of %zu bytes\n",
                    (unsigned long)damage->first, (unsigned long)(damage->first - ref->base),
                    (unsigned long)ref->base, ref->size);
    moat_damage_show(&text, damage, options->poison);
    struct moat_moment born = moat_history_birth(ref);
    moat_report_add_moment(&text, "reserved", &born);
    if (moat_history_find(damage->first, &past))
        moat_report_add_moment(&text, past.released ? "released" : "decommitted", &past.ended);
    moat_report_tell(options, MOAT_FOUND_WRITE_AFTER_FREE, MOAT_OK, damage->first, &text);
}
