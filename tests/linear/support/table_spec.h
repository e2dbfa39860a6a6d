/* SPDX-License-Identifier: MIT */
/*
 * table_spec: what one key of a table of handles does when nobody else calls.
 *
 * The state is the handle, or 0. Handles are used once, so that a find that answers with an older
 * one is told apart from every legal answer.
 */
#ifndef MOAT_TESTS_LINEAR_TABLE_SPEC_H
#define MOAT_TESTS_LINEAR_TABLE_SPEC_H

#include "check.h"

/* argument 0, and 1 of a replace: handles. Result: of find the handle or 0; of insert whether there
 * was room; of erase and replace whether it was there. */
enum table_kind { TABLE_FIND, TABLE_INSERT, TABLE_ERASE, TABLE_REPLACE };

extern const struct linear_spec table_spec;

#endif
