/* SPDX-License-Identifier: MIT */
/* placeholder: one life, from its reservation to its release, whatever is refused on the way. */
#include "others.h"
#include "refuse.h"

#include <moat/placeholder.h>

#include <string.h>

enum { SIZE = 8 * GRANULE, PART = 2 * GRANULE };

/* Whatever stands there now, part by part. */
static void release_all(struct thread *self, unsigned which, const unsigned char *base) {
    struct moat_manager *manager = world.manager[which];
    struct moat_page_info info;

    for (const unsigned char *at = base; at < base + SIZE; at += info.size) {
        for (bool gone = false; !gone;) {
            EXPECT(ORACLE_QUERY, moat_query(at, &info) == MOAT_OK, "no answer");
            gone = info.owner != manager || info.allocation_base != (const void *)at;
            if (gone)
                break;
            enum moat_status status = CALL(self, moat_release(manager, info.allocation_base));

            soak_answered(ACT_RELEASE, status, ONLY_OK, which);
            gone = status == MOAT_OK;
        }
    }
}

static bool done(enum moat_status status, unsigned which) {
    soak_answered(ACT_PLACEHOLDER, status, ONLY_OK, which);
    return status == MOAT_OK;
}

void placeholder_act(struct thread *self) {
    unsigned which = soak_below(&self->random, MANAGERS);
    struct moat_manager *manager = world.manager[which];
    void *base, *part, *replaced;

    if (!done(CALL(self, moat_placeholder_reserve(manager, NULL, SIZE, 0, NULL, &base)), which))
        return;
    part = (unsigned char *)base + PART;
    bool whole = done(CALL(self, moat_placeholder_preserve(manager, part, PART)), which) &&
                 done(CALL(self, moat_placeholder_replace(manager, part, PART, MOAT_PAGE_READWRITE,
                                                          MOAT_RESERVE_COMMIT, &replaced)),
                      which);
    if (whole) {
        unsigned char *page = replaced;

        EXPECT(ORACLE_CONTENT, page[0] == 0 && page[PART - 1] == 0, "a part is not fresh");
        memset(page, 'p', PART);
        whole = done(CALL(self, moat_placeholder_preserve(manager, part, PART)), which) &&
                done(CALL(self, moat_placeholder_coalesce(manager, base, SIZE)), which);
    }
    EXPECT(ORACLE_STATUS, whole || world.is_short || soak_is_tight(which), "a part was refused");
    release_all(self, which, base);
}
