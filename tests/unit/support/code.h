/* SPDX-License-Identifier: MIT */
/* code: a manager with a code heap in it, and what the kernel says of its pages. */
#ifndef MOAT_TESTS_UNIT_CODE_H
#define MOAT_TESTS_UNIT_CODE_H

#include <moat/code.h>

enum { PAGE = MOAT_PAGE_BYTES, GRANULE = 65536, HEAP = 16 << 20 };

extern struct moat_manager *code_manager;
extern struct moat_code_heap *code_heap;

/* With options as in MOAT_OPTIONS; code_set_up has those of the usual case, execute=wx. */
void code_create(const char *words);
void code_set_up(void);

/* Looks whether anything is left. */
void code_tear_down(void);

/* Tear down what was set up, and create that. */
void code_instead(const char *words);

/* A block, which there must be. */
struct moat_code_block code_alloc(size_t size);

/* The rights that the kernel has on record: "r-x", or "" where nothing is mapped. Until the next
 * such call. */
const char *code_rights(const void *address);

#endif
