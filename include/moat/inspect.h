/* SPDX-License-Identifier: MIT */
/*
 * inspect: where a debugger finds the books of Moat, in a process or a core dump.
 *
 * For moat-inspect and the gdb script, and whoever writes a tool like them; a program has no use
 * for it. The struct lies in the library's own data, read-only, and has addresses in that data
 * alone: whoever reads it there could read as well what it points to. It is found by its
 * magic: 16 bytes at a multiple of 16, in a mapping of the file that Moat is linked into, behind
 * which stands the address of the struct itself. No symbol is needed, nor exported.
 *
 * `names` has a word for each of the addresses, then, behind a semicolon, one for each of the
 * numbers: sizes in bytes, offsets of fields ("record.base" in a record), counts. What they mean
 * stands in the sources of Moat; a reader that misses a word, or meets another version, says so and
 * reads nothing.
 */
#ifndef MOAT_INSPECT_H
#define MOAT_INSPECT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MOAT_LAYOUT_MAGIC     "\x93moat-layout\r\n\x1a\n" /* 16 bytes */
#define MOAT_LAYOUT_VERSION   1u
#define MOAT_LAYOUT_ADDRESSES 12
#define MOAT_LAYOUT_NUMBERS   68
#define MOAT_LAYOUT_NAMES     1600

/* Since 0.6 */
struct moat_layout {
    char magic[16];
    const struct moat_layout *self;
    uint32_t version; /* of this struct */
    uint32_t size;    /* of this struct */
    char library[16]; /* the version of Moat: "0.6.0" */
    const void *addresses[MOAT_LAYOUT_ADDRESSES];
    uint32_t numbers[MOAT_LAYOUT_NUMBERS];
    char names[MOAT_LAYOUT_NAMES];
};

#ifdef __cplusplus
}
#endif

#endif
