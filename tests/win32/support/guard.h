/* SPDX-License-Identifier: MIT */
/*
 * guard: touching a byte and seeing what that sets off: by a vectored exception handler on Windows,
 * by Moat's fault handler elsewhere.
 */
#ifndef MOAT_TESTS_WIN32_GUARD_H
#define MOAT_TESTS_WIN32_GUARD_H

#include "contract.h"

/* Accesses as EXCEPTION_RECORD numbers them. */
enum { ACCESS_READ = 0, ACCESS_WRITE = 1, ACCESS_EXECUTE = 8 };

struct touched {
    unsigned guards; /* guard page violations that were raised, and continued after */
    unsigned access; /* of the last of them: ACCESS_* */
    uintptr_t guard; /* the address that was told with it */
    bool violated;   /* then, or at once, an access violation: the access was not made */
};

struct touched touch_read(const BYTE *address);
struct touched touch_write(BYTE *address); /* stores 0xA5 */

/* Before any other thread touches anything. */
void guard_start(void);

/* Guard page violations of all threads so far. */
unsigned guard_count(void);

#endif
