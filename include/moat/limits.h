/* SPDX-License-Identifier: MIT */
/*
 * limits: what the kernel allows this process, how much of it is used, and what Moat does with less
 * because of it.
 *
 * A limit that is tight when the first manager is made makes Moat start smaller, not fail: it then
 * says so once in the process, as a finding of MOAT_FOUND_LIMIT (<moat/report.h>). A call that is
 * refused later says in moat_last_error_text which limit was hit and how much of it was used, or,
 * where the kernel does not let that be told, how much of each. At vm.max_map_count decommits and
 * releases go on: guard markers need no mapping, and for everything else Moat holds some mappings
 * that it lets go when it must.
 */
#ifndef MOAT_LIMITS_H
#define MOAT_LIMITS_H

#include <moat/export.h>
#include <moat/status.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
enum moat_limit {
    MOAT_LIMIT_MAPPINGS,      /* vm.max_map_count: mappings of this process                     */
    MOAT_LIMIT_ADDRESS_SPACE, /* RLIMIT_AS: bytes that are reserved                             */
    MOAT_LIMIT_DATA,          /* RLIMIT_DATA: bytes that are writable and private               */
    MOAT_LIMIT_COMMIT,        /* CommitLimit: bytes that the machine has promised, where
                                 vm.overcommit_memory is 2                                      */
    MOAT_LIMIT_CGROUP,        /* memory.max of the control group that leaves least: bytes in use */
    MOAT_LIMIT_LOCKED,        /* RLIMIT_MEMLOCK: bytes that are locked in memory                */
    MOAT_LIMITS
};
/* clang-format on */

/* What Moat does with less of. */
#define MOAT_LESS_REGIONS 0x1u  /* the books have room for fewer regions than 8,388,608 */
#define MOAT_LESS_ARENA   0x2u  /* the first arena is smaller than 1 GiB */
#define MOAT_LESS_SHARED  0x4u  /* there is none: every region has a mapping of its own */
#define MOAT_LESS_SPARE   0x8u  /* fewer mappings to let go than 64 */
#define MOAT_LESS_MARKERS 0x10u /* memory is locked from birth: pages trap by protection */

struct moat_limit_use {
    uint64_t used;
    uint64_t max; /* UINT64_MAX: there is no limit, or none is known */
};

struct moat_limits {
    struct moat_limit_use of[MOAT_LIMITS];
    uint32_t less;           /* MOAT_LESS_* */
    uint32_t regions_max;    /* live ones, in the process; 0 before the first manager is made */
    uint32_t spare_mappings; /* held now */
    uint64_t parked_bytes;   /* released and inaccessible, to be unmapped when there are mappings */
};

/*
 * Read the limits of the process. Counting mappings takes half a microsecond for each.
 *
 *   limits   receives them
 *
 * Returns   MOAT_OK; MOAT_NO_ACCESS when limits is NULL
 * Threads   any, at once
 * Since     0.3
 */
MOAT_API MOAT_CHECKED enum moat_status moat_limits_read(struct moat_limits *limits);

/*
 * The name of a limit, as administrators know it: "vm.max_map_count".
 *
 *   limit   any value
 *
 * Returns   never NULL; "?" for a value outside the enumeration
 * Threads   any, at once; async-signal-safe
 * Since     0.3
 */
MOAT_API const char *moat_limit_name(enum moat_limit limit);

#ifdef __cplusplus
}
#endif

#endif
