/* SPDX-License-Identifier: MIT */
/*
 * check: claims of the tests of the hosting interface, and calls by slot.
 */
#ifndef MOAT_TESTS_COM_CHECK_H
#define MOAT_TESTS_COM_CHECK_H

#include <moat/mscoree.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The claim `name`; a failure is printed with both values. HRESULTs are passed as they are. */
void check(const char *name, intmax_t expected, intmax_t got);

/* Print the sums. Returns the exit code of the program. */
int check_end(void);

/* A manager with the default options; ends the program when there is none. */
IHostMemoryManager *create_manager(void);

/* Method `index` of any COM object, as a caller of another compiler sees it. */
typedef void (*slot)(void);
slot method(void *object, unsigned index);

#ifdef __cplusplus
}
#endif

#endif
