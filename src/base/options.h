/* SPDX-License-Identifier: MIT */
/*
 * options: what the library itself needs of options beyond <moat/options.h>.
 */
#ifndef MOAT_BASE_OPTIONS_H
#define MOAT_BASE_OPTIONS_H

#include <moat/options.h>

/*
 * Whether a program's own options are a valid set: a known struct_size and every value in range.
 *
 * Returns   MOAT_OK; MOAT_INVALID_ARGUMENT with the error text set; MOAT_NO_ACCESS when NULL
 * Threads   any; async-signal-safe
 */
MOAT_CHECKED enum moat_status moat_options_check(const struct moat_options *options);

#endif
