/* SPDX-License-Identifier: MIT */
/*
 * stats: the counters of <moat/moat.h> as text, for dashboards and logs.
 *
 * OpenMetrics is what Prometheus and its like scrape: a page with the text as its body and
 * "application/openmetrics-text; version=1.0.0; charset=utf-8" as its content type is all there is
 * to an exporter. JSON has the same numbers under the same names, without "moat_" and "_total".
 *
 *     # TYPE moat_committed_bytes gauge
 *     # UNIT moat_committed_bytes bytes
 *     # HELP moat_committed_bytes Accessible memory of live regions; what a quota bounds.
 *     moat_committed_bytes{manager="0"} 65536
 *
 *     {"version":"0.6.0","page_bytes":4096,
 *      "retained_bytes":0, ... ,
 *      "managers":[
 *      {"manager":0,"regions":1,"reserved_bytes":65536,"committed_bytes":65536, ... }
 *     ]}
 *
 * Managers are numbered from 0 in the order of their creation, and a number is used again when its
 * manager has ended. No text has an address in it: where the books lie is nobody's business.
 *
 * What the numbers mean, and how they go with the kernel's. While nothing else runs, and if every
 * committed page was touched and none is swapped out, then to the page:
 *
 *     Rss of live regions (/proc/self/smaps)              committed_bytes - deferred_bytes
 *     Rss of the arenas besides                           retained_bytes + deferred_bytes, but for
 *                                                         what stash slots hold, which are books
 *     Size of the mappings of the arenas                  arena_bytes
 *     Size of the mappings of the books                   book_bytes
 *
 * committed_bytes less the Rss is memory that was promised and not touched yet.
 */
#ifndef MOAT_STATS_H
#define MOAT_STATS_H

#include <moat/export.h>
#include <moat/options.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct moat_manager;

/*
 * Write the counters as text.
 *
 *   manager   whose; NULL: those of all managers of the process. The numbers of the process itself
 *             (retained, arenas, books) are there in any case
 *   form      MOAT_STATS_JSON or MOAT_STATS_OPENMETRICS
 *   text      receives the text, with a NUL at its end; may be NULL if size is 0
 *   size      bytes at `text`; 8 KiB and 4 KiB a manager are enough
 *
 * A manager that is being destroyed meanwhile is told in part, or not at all.
 *
 * Returns   the length of the whole text, which was cut if it is not below `size`; 0, and "", for
 *           another form
 * Threads   any, at once; async-signal-safe; takes no lock and waits for nobody
 * Since     0.6
 */
MOAT_API size_t moat_stats_print(const struct moat_manager *manager, enum moat_stats_form form,
                                 char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif
