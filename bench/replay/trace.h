/* SPDX-License-Identifier: MIT */
/*
 * trace: recorded page-allocation traces, loaded and checked.
 *
 * A trace is the page-level life of a real program as region operations, each with the thread that
 * did it, in one global order. The file format and the rules by which system calls became
 * operations are in bench/traces/README.md. Every promise below is verified while loading, so a
 * replayer need not check again and a replay cannot fault because of a bad file.
 *
 * Two operations of different threads keep their order in the file; a replayer that runs threads at
 * once must keep at least the order of operations on the same region.
 */
#ifndef MOAT_BENCH_TRACE_H
#define MOAT_BENCH_TRACE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Protection bits of struct trace_op; 0 is no access. */
enum { TRACE_PROT_READ = 1, TRACE_PROT_WRITE = 2, TRACE_PROT_EXEC = 4 };

enum { TRACE_NAME_SIZE = 64, TRACE_DROP_KINDS_MAX = 32 };

enum trace_op_kind {
    TRACE_RESERVE,  /* a new region; prot != 0: all committed with prot; 0: nothing committed */
    TRACE_COMMIT,   /* pages that were not committed; prot is never 0 */
    TRACE_DECOMMIT, /* pages that were all committed; prot is 0 */
    TRACE_PROTECT,  /* pages that were all committed; prot 0 is no access */
    TRACE_RELEASE,  /* the whole region; offset, size and prot are 0 */
    TRACE_TOUCH,    /* pages first touched; all committed with exactly prot, which has READ */
    TRACE_OP_KINDS
};

/* Sizes and offsets are bytes and multiples of page_size; offset is relative to the region. */
struct trace_op {
    uint8_t kind;    /* enum trace_op_kind */
    uint8_t prot;    /* TRACE_PROT_ bits. TOUCH: write when it has WRITE, else read */
    uint16_t thread; /* < thread_count; every thread has at least one operation */
    uint32_t region; /* < region_count; numbered in the order of their RESERVE */
    uint64_t offset;
    uint64_t size; /* > 0, save for RELEASE */
};

/* Why recorded calls or page faults did not become operations; see bench/traces/README.md. */
struct trace_drop {
    char name[TRACE_NAME_SIZE];
    uint64_t count;
};

/*
 * Regions are reserved before use, released at most once and not used afterwards. All operations
 * lie inside their region.
 */
struct trace {
    struct trace_op *ops;
    size_t op_count; /* > 0 */
    uint32_t region_count;
    uint32_t thread_count;
    char name[TRACE_NAME_SIZE]; /* printable ASCII */
    uint64_t counts[TRACE_OP_KINDS];
    uint64_t calls_seen; /* memory system calls of the program, failed ones included */
    uint64_t calls_dropped;

    uint32_t page_size;
    uint64_t faults_seen; /* page faults of the program */
    uint64_t faults_dropped;
    struct trace_drop call_drops[TRACE_DROP_KINDS_MAX];
    size_t call_drop_count;
    struct trace_drop fault_drops[TRACE_DROP_KINDS_MAX];
    size_t fault_drop_count;

    /* Highest values at any operation, found while checking. */
    uint64_t live_regions_max;
    uint64_t reserved_max;  /* bytes */
    uint64_t committed_max; /* bytes */
    uint64_t touched_max;   /* bytes touched and since then neither decommitted nor released */
};

/*
 * Read, decode and check a trace file.
 *
 *   error   receives one line with the file, the byte offset and what is wrong; empty on success
 *
 * Returns 0, or -1 with *out zeroed and nothing to free. At most a few times the size of the
 * operations is allocated, whatever the file claims.
 */
int trace_load(const char *path, struct trace *out, char *error, size_t error_size);

/* Give back what trace_load allocated and zero the trace; a zeroed trace is allowed. */
void trace_free(struct trace *trace);

#ifdef __cplusplus
}
#endif

#endif
