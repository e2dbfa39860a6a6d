/* SPDX-License-Identifier: MIT */
/*
 * traps: accesses that must trap, and guards that go off.
 *
 * Moat's handler stands in front of one of the program: what Moat resolves goes on, all else comes
 * here, and ends the process unless the thread has said that it expects it.
 */
#ifndef MOAT_TESTS_SOAK_TRAPS_H
#define MOAT_TESTS_SOAK_TRAPS_H

#include "soak.h"

void traps_install(void);

/* Whether an access to this byte traps. A write puts back what was there. */
bool traps_on_access(unsigned char *byte, bool write);

/* Guards that went off in this thread. */
unsigned traps_guards(void);

/* What was just given back must trap, unless somebody else has the place by now. */
void traps_expect_gone(const unsigned char *base, size_t pages);

#endif
