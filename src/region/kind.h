/* SPDX-License-Identifier: MIT */
/*
 * kind: which regions may share an arena, as a small number.
 *
 * What the kernel is told of memory it is told once, of an arena as a whole: of a part of one it
 * would split mappings. So regions of which it is to be told different things lie in different
 * arenas. A process has one kind as a rule, and one more for each set of options that differs from
 * all others in what stands below. Kinds are entered as they come up and never leave; two numbers
 * may mean the same where two threads entered it at once, which costs an arena and nothing else.
 *
 * Edges
 *   kind   what a kind is, then that it is entered -> whoever finds it entered sees what it is
 */
#ifndef MOAT_REGION_KIND_H
#define MOAT_REGION_KIND_H

#include <stdbool.h>
#include <stdint.h>

/* How the kernel is to supply pages, besides when they are asked for. */
struct moat_supply {
    bool huge;      /* huge pages where they fit */
    uint8_t numa;   /* enum moat_numa */
    uint64_t nodes; /* a mask, of those that it is about */
};

/* What all regions of an arena have in common. */
struct moat_kind {
    bool markers;
    bool undumped; /* not in core dumps */
    uint8_t fork;  /* enum moat_fork */
    struct moat_supply supply;
};

/* Regions of more kinds than that stand alone. */
#define MOAT_KINDS_MAX 32u

/* The number of a kind, which is entered if it is not. MOAT_KINDS_MAX: there are too many. */
unsigned moat_kind_number(const struct moat_kind *kind);

/* Whether such an arena has markers, and the kernel is told nothing of it that pages would take
 * along, or leave behind, when they are moved. */
bool moat_kind_plain(unsigned number);

/* How many numbers are in use, and what one of them stands for. */
unsigned moat_kinds_count(void);
struct moat_kind moat_kind_at(unsigned number);

#endif
