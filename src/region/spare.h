/* SPDX-License-Identifier: MIT */
/*
 * spare: mappings that the process holds for nothing, so that it can let them go.
 *
 * Giving memory back may need mappings: who takes the rights of a page amid others makes three out
 * of one. At vm.max_map_count the kernel refuses that, and pages that were freed would stay usable.
 * So a few mappings are made while there is room: every other page of a small stretch of the books
 * can be read, which keeps it apart from its neighbours. A page whose right is taken becomes one
 * with both of them, which the kernel never refuses, and two mappings are free.
 *
 * Only what gives back, or undoes what failed, may spend them: decommit, release, and a commit or
 * reserve that cannot be completed. They are had again when there is room again. Lock-free; no page
 * of the stretch is ever touched.
 *
 * They are made when there is something to give back that may need them, not before: all of them
 * with the first space that is not an arena with guard markers, since from then on a single range
 * may have to be given back page by page; a few with each block that is opened in such an arena,
 * where only what was protected in the midst of others needs any. Who comes after that, in Moat or
 * beside it, finds them made, and may have all other mappings there are.
 */
#ifndef MOAT_REGION_SPARE_H
#define MOAT_REGION_SPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pages that can be spent; each is worth two mappings. */
#define MOAT_SPARE_PAGES 32u

/* With each block that is opened in an arena. */
#define MOAT_SPARE_STEP 2u

/* Have so many pages more to spend, up to all, as far as the kernel lets; the rest of them is had
 * by those who refill. Where all were wanted before, this is a load. Any thread. */
void moat_spare_want(unsigned more);

/* How often a call was repeated; all zero before the first time. */
struct moat_spare_use {
    unsigned times;
};

/*
 * After a call that failed with `error`: whether to make it again. If the kernel has no mapping
 * left it has two more than before, for whoever is the first to take them.
 */
bool moat_spare_lend(int error, struct moat_spare_use *use);

/* Calls that are repeated as above. */
int moat_spare_protect(void *start, size_t size, unsigned access);

/* Have one page more of those that were spent, if there is room, and unmap what was parked. Where
 * there is neither, this costs nothing. */
void moat_spare_refill(void);

/*
 * Keep a range that traps, and that nobody uses any more, until there is a mapping to cut it out of
 * what it has merged with.
 *
 *   inherited   forked children have it mapped, too
 *
 * Returns   false: too many are kept
 */
bool moat_spare_park(void *start, size_t size, bool inherited);

/* In a forked child, before anything is unmapped: what is kept of ranges that it does not have is
 * forgotten, since what lies there is somebody else's. By the only thread that works. */
void moat_spare_forget(void);

/* Bytes that are kept like that. */
size_t moat_spare_parked(void);

/* What can be told of the mapping limit without counting, which takes long where there are many. */
enum moat_room { MOAT_ROOM_UNKNOWN, MOAT_ROOM_LEFT, MOAT_ROOM_NONE };
enum moat_room moat_spare_room(void);

/* Mappings that are held now. */
unsigned moat_spare_count(void);

#endif
