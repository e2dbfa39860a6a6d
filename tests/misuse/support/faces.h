/* SPDX-License-Identifier: MIT */
/* faces: the three faces of Moat, behind one set of calls. */
#ifndef MOAT_TESTS_MISUSE_FACES_H
#define MOAT_TESTS_MISUSE_FACES_H

#include "misused.h"

/* Open a face whose manager has misuse=<policy> and what the words add, and tells `function` if
 * that is not NULL. The Win32 face has no way to be given a function. One a process. */
void face_open(struct face *face, unsigned which, const char *policy, const char *words,
               void (*function)(const struct moat_finding *finding, void *context), void *context);

#endif
