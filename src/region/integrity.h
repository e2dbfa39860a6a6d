/* SPDX-License-Identifier: MIT */
/*
 * integrity: do the books still say what Moat wrote there?
 *
 * A record has a check word over what never changes in its life, made with a key that lies on the
 * read-only page of the registry. Finding a region does not look at it; whatever decides by the
 * record does: entering, closing, locking and querying a region, walks over all regions, and every
 * refusal of an address, for a record that was changed may be the reason to refuse. A table that
 * names a record which is free, or of another region, is found out by the lookup itself.
 *
 * That an entry of table or index is missing shows only in that nothing is found. A refusal looks
 * into that where there is a reason to: the index has a region that the table does not have, or the
 * granule is taken though no region holds it. It then looks at all records. A release looks whether
 * the index has the region.
 *
 * Nothing here takes calls that are under way for damage. A record says when it can be found, as
 * the last thing that its birth does; from then on table and index have it until somebody closes
 * it. What a look finds missing is believed if the record said so before and after.
 *
 * Not covered: what changes while a region lives (life word, locks, page bytes that are possible
 * values), free records, and the structs of spaces and heaps.
 *
 * Edges
 *   shown   table and index have a region, then its record says so -> who reads that finds it there
 */
#ifndef MOAT_REGION_INTEGRITY_H
#define MOAT_REGION_INTEGRITY_H

#include "region/region.h"

/* One for each word that is checked, and one to begin with. */
#define MOAT_CHECK_KEYS 9

/* The check word of a region, and the state of its record that says so: see moat_region_copy. */
uint32_t moat_check_word(const struct moat_region_ref *ref);

/* Note where spaces lie that hold one region: other addresses need not be looked into. Before the
 * region can be found. */
void moat_region_stands_alone(const struct moat_space *space);

/* Say that the region can be found. A record that has changed hands meanwhile stays as it is. */
void moat_region_is_shown(struct moat_region *region, uint32_t generation);

/* Whether the record is as it was written; if not, corruption has been found: latch.h. */
bool moat_region_verify(const struct moat_region_ref *ref);

/* The same, and that the bytes of these pages are values there are. The caller has their stripes.
 */
bool moat_region_verify_pages(const struct moat_region_ref *ref, uintptr_t start, uintptr_t end);

/* The same of the whole region, and that the index has it. The caller has closed it. */
bool moat_region_verify_closed(const struct moat_region_ref *ref);

/* Whether the table's entry for a page names this record though it is not of a live region there,
 * and not for the moment only. Then corruption has been found. */
bool moat_region_misled(uint64_t page, const struct moat_region_ref *ref);

/* Whether the roots are as they were, every record is, and whatever can be found is found: for who
 * is about to clear away what is not found. Looks at all records. */
bool moat_region_verify_all(void);

/*
 * An address is about to be refused: look whether damage may be the reason.
 *
 * Cost      one lookup, as a rule; a look at every record where something speaks for damage
 * Threads   any, at once, holding nothing of a region; async-signal-safe
 */
void moat_region_audit(uintptr_t address);

#endif
