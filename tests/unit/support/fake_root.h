/* SPDX-License-Identifier: MIT */
/*
 * fake_root: a folder that looks like the root of a machine, as far as a test needs it.
 */
#ifndef MOAT_TESTS_UNIT_FAKE_ROOT_H
#define MOAT_TESTS_UNIT_FAKE_ROOT_H

#include <stddef.h>

struct fake_file {
    const char *path; /* from the fake root on */
    const char *text;
};

/* Make a fresh folder with these files, up to the first without a path. The name lives until the
 * next call; all of them are removed when the program ends. */
const char *fake_root(const struct fake_file *files);

/* Write one more file into it, or another text. */
void fake_write(const char *root, const char *path, const char *text);

#endif
