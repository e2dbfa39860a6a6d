/* SPDX-License-Identifier: MIT */
/*
 * layout: the struct that tools look for. Everything is in it and nothing behind it: the dump of a
 * program has its data, and not what it only reads from its file.
 */
#include "vm/layout.h"

#include "region/arenas.h"
#include "region/graves.h"
#include "region/history.h"
#include "region/kind.h"
#include "region/registry.h"
#include "region/resting.h"
#include "region/roster.h"
#include "vm/fork.h"

#include <moat/report.h>

#define TEXT_OF(number)              #number
#define VERSION(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

#define WORD(name, value)  #name " "
#define VALUE(name, value) (value),

#define ADDRESS(name, value) ADDRESS_##name,
#define NUMBER(name, value)  NUMBER_##name,

enum { MOAT_LAYOUT_EACH_ADDRESS(ADDRESS) ADDRESSES };
enum { MOAT_LAYOUT_EACH_NUMBER(NUMBER) NUMBERS };

#define NAMES MOAT_LAYOUT_EACH_ADDRESS(WORD) ";" MOAT_LAYOUT_EACH_NUMBER(WORD)

_Static_assert(sizeof(MOAT_LAYOUT_MAGIC) == 17, "16 bytes, and the NUL of the literal");
_Static_assert(sizeof(NAMES) <= MOAT_LAYOUT_NAMES, "room for the names");
_Static_assert(ADDRESSES <= MOAT_LAYOUT_ADDRESSES, "and for what they name");
_Static_assert(NUMBERS <= MOAT_LAYOUT_NUMBERS, "the same");

_Alignas(64) const struct moat_layout moat_layout = {
    .magic = MOAT_LAYOUT_MAGIC,
    .self = &moat_layout,
    .version = MOAT_LAYOUT_VERSION,
    .size = sizeof(struct moat_layout),
    .library = VERSION(MOAT_VERSION_MAJOR, MOAT_VERSION_MINOR, MOAT_VERSION_PATCH),
    .addresses = {MOAT_LAYOUT_EACH_ADDRESS(VALUE)},
    .numbers = {MOAT_LAYOUT_EACH_NUMBER(VALUE)},
    .names = NAMES,
};
