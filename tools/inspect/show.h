/* SPDX-License-Identifier: MIT */
/*
 * show: what was read, for people, for programs, as a picture, and again each second.
 */
#ifndef MOAT_INSPECT_SHOW_H
#define MOAT_INSPECT_SHOW_H

#include "books.h"

#include <stdio.h>

/* What all regions come to. */
struct sums {
    uint64_t reserved, committed, resident, resting;
    bool resident_known;
};

struct sums sums_of(const struct books *books);

/* "64 KiB", "1.5 GiB"; 16 bytes are enough. */
const char *size_text(uint64_t size, char text[static 16]);

/* At most `lines` lines; 0: as many as it takes. */
void show_table(const struct books *books, FILE *out, unsigned lines);
void show_json(const struct books *books, FILE *out);
void show_svg(const struct books *books, FILE *out);

/* A table each second, until the process or the user ends it. */
enum ending watch(pid_t process);

#endif
