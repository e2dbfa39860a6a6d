/* SPDX-License-Identifier: MIT */
/*
 * layout: where the books of a target are, by the struct that the library has for that purpose.
 */
#ifndef MOAT_INSPECT_LAYOUT_H
#define MOAT_INSPECT_LAYOUT_H

#include "target.h"

#include "vm/layout.h"

/* The names of the two lists as indices of what they name. */
#define AS_ADDRESS(name, value) AT_##name,
#define AS_NUMBER(name, value)  OF_##name,
enum { MOAT_LAYOUT_EACH_ADDRESS(AS_ADDRESS) AT_COUNT };
enum { MOAT_LAYOUT_EACH_NUMBER(AS_NUMBER) OF_COUNT };

/* Larger structs than these are none. */
#define LAYOUT_RECORD_MAX 256u
#define LAYOUT_BIRTH_MAX  64u
#define LAYOUT_SPACE_MAX  1024u

struct layout {
    char library[16];
    uint64_t self;
    uint64_t addresses[AT_COUNT];
    uint32_t numbers[OF_COUNT];
    unsigned copies; /* of Moat in the target: the first is told of that has been used */
};

enum ending layout_find(const struct target *target, struct layout *layout);

/* A number of the layout as it is used: OF(layout, record_base). */
#define OF(layout, name) ((layout)->numbers[OF_##name])
#define AT(layout, name) ((layout)->addresses[AT_##name])

#endif
