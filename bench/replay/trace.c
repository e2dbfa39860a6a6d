/* SPDX-License-Identifier: MIT */
/*
 * trace: decode a recorded trace and check every promise of trace.h on the way.
 *
 * The file is not trusted: no count of it sizes an allocation before it has been compared with the
 * bytes that are there, and all page arithmetic stays below 2^62. Differences may wrap; they are
 * checked after they were added.
 */
#include "trace.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "trace_bytes.h"
#include "trace_pages.h"

enum { THREAD_COUNT_MAX = 65536 };
enum { HEAD_KIND = 0x07, HEAD_PROT_SHIFT = 3, HEAD_SAME_THREAD = 0x40, HEAD_SAME_REGION = 0x80 };

/* 128 TiB, the user half of the address space, bounds a region and all live regions together. */
static const uint64_t ADDRESS_BYTES_MAX = UINT64_C(1) << 47;

static const char MAGIC[8] = "MOATTRC\x01";

static const char *const KIND_NAMES[TRACE_OP_KINDS] = {"RESERVE", "COMMIT",  "DECOMMIT",
                                                       "PROTECT", "RELEASE", "TOUCH"};

struct region {
    struct trace_pages pages;
    uint64_t page_count;
    uint64_t cursor; /* end of the last operation, from which the next offset counts */
    bool released;
};

struct reader {
    struct trace_bytes *in;
    struct trace *trace;
    struct region *regions;
    bool *thread_used;
    uint32_t reserved_count; /* RESERVE operations so far */
    uint64_t live_regions;
    uint64_t reserved; /* pages */
    struct trace_totals totals;
    uint64_t seen[TRACE_OP_KINDS];
};

static bool read_drops(struct reader *r, const char *what, uint64_t *seen, uint64_t *dropped,
                       struct trace_drop *drops, size_t *drop_count) {
    uint64_t kinds = 0;
    if (!trace_bytes_number(r->in, what, seen) ||
        !trace_bytes_count(r->in, what, 0, TRACE_DROP_KINDS_MAX, &kinds))
        return false;
    for (size_t i = 0; i < kinds; i++) {
        size_t start = r->in->at;
        if (!trace_bytes_string(r->in, "the name of a drop kind", drops[i].name) ||
            !trace_bytes_number(r->in, what, &drops[i].count))
            return false;
        if (drops[i].count > *seen - *dropped)
            return trace_bytes_fail(r->in, start, "more %s dropped than the %" PRIu64 " seen", what,
                                    *seen);
        *dropped += drops[i].count;
    }
    *drop_count = (size_t)kinds;
    return true;
}

static bool read_header(struct reader *r) {
    struct trace *t = r->trace;
    uint64_t shift = 0, threads = 0, regions = 0, ops = 0;
    if (memcmp(r->in->bytes, MAGIC, sizeof MAGIC - 1) != 0)
        return trace_bytes_fail(r->in, 0, "wrong magic: not a trace");
    if (r->in->bytes[sizeof MAGIC - 1] != (unsigned char)MAGIC[sizeof MAGIC - 1])
        return trace_bytes_fail(r->in, sizeof MAGIC - 1,
                                "format version %d, this reader knows version %d",
                                r->in->bytes[sizeof MAGIC - 1], MAGIC[sizeof MAGIC - 1]);
    r->in->at = sizeof MAGIC;
    if (!trace_bytes_count(r->in, "the page shift", 12, 16, &shift) ||
        !trace_bytes_string(r->in, "the program name", t->name) ||
        !trace_bytes_count(r->in, "the thread count", 1, THREAD_COUNT_MAX, &threads) ||
        !trace_bytes_count(r->in, "the region count", 1, UINT32_MAX, &regions))
        return false;
    size_t ops_at = r->in->at;
    if (!trace_bytes_count(r->in, "the operation count", 1, SIZE_MAX / sizeof *t->ops, &ops))
        return false;
    for (int kind = 0; kind < TRACE_OP_KINDS; kind++)
        if (!trace_bytes_count(r->in, KIND_NAMES[kind], 0, ops, &t->counts[kind]))
            return false;
    if (!read_drops(r, "calls", &t->calls_seen, &t->calls_dropped, t->call_drops,
                    &t->call_drop_count) ||
        !read_drops(r, "faults", &t->faults_seen, &t->faults_dropped, t->fault_drops,
                    &t->fault_drop_count))
        return false;

    /* Nothing is allocated from a count before this: an operation has at least one byte. */
    if (ops > trace_bytes_end(r->in) - r->in->at)
        return trace_bytes_fail(r->in, ops_at,
                                "%" PRIu64 " operations cannot be in the %zu bytes left", ops,
                                trace_bytes_end(r->in) - r->in->at);
    if (regions > ops || threads > ops)
        return trace_bytes_fail(
            r->in, ops_at, "%" PRIu64 " regions, %" PRIu64 " threads, but %" PRIu64 " operations",
            regions, threads, ops);
    t->page_size = UINT32_C(1) << shift;
    t->thread_count = (uint32_t)threads;
    t->region_count = (uint32_t)regions;
    t->op_count = (size_t)ops;
    t->ops = calloc(t->op_count, sizeof *t->ops);
    r->regions = calloc(t->region_count, sizeof *r->regions);
    r->thread_used = calloc(t->thread_count, sizeof *r->thread_used);
    if (t->ops == NULL || r->regions == NULL || r->thread_used == NULL)
        return trace_bytes_fail(r->in, r->in->at, "out of memory for %zu operations", t->op_count);
    return true;
}

static bool apply_pages(struct reader *r, size_t at, struct region *region,
                        const struct trace_op *op) {
    static const char *const because[] = {
        [TRACE_PAGES_COMMITTED] = "which is committed",
        [TRACE_PAGES_NOT_COMMITTED] = "which is not committed",
        [TRACE_PAGES_PROTECTION] = "which has another protection",
        [TRACE_PAGES_TOUCHED] = "which was touched before",
    };
    enum trace_op_kind kind = op->kind == TRACE_RESERVE ? TRACE_COMMIT : op->kind;
    uint64_t page = 0;
    enum trace_pages_result result =
        trace_pages_apply(&region->pages, kind, op->prot, op->offset, op->size, &r->totals, &page);
    if (result == TRACE_PAGES_OK)
        return true;
    if (result == TRACE_PAGES_NO_MEMORY)
        return trace_bytes_fail(r->in, at, "out of memory");
    return trace_bytes_fail(r->in, at, "%s of page %" PRIu64 " of region %" PRIu32 ", %s",
                            KIND_NAMES[op->kind], page, op->region, because[result]);
}

static void apply_release(struct reader *r, struct region *region) {
    trace_pages_clear(&region->pages, &r->totals);
    region->released = true;
    r->reserved -= region->page_count;
    r->live_regions--;
}

static bool apply_reserve(struct reader *r, size_t at, struct region *region,
                          const struct trace_op *op) {
    uint64_t limit = ADDRESS_BYTES_MAX / r->trace->page_size;
    if (op->size > limit - r->reserved)
        return trace_bytes_fail(r->in, at,
                                "RESERVE of %" PRIu64 " pages: more than 128 TiB reserved at once",
                                op->size);
    region->page_count = op->size;
    r->reserved += op->size;
    r->live_regions++;
    return op->prot == 0 || apply_pages(r, at, region, op);
}

/* A maximum is of bytes; the running value is of pages. */
static void note_max(uint64_t *max, uint64_t value) {
    if (value > *max)
        *max = value;
}

static bool check_prot(struct reader *r, size_t at, const struct trace_op *op) {
    bool none = op->prot == 0;
    bool ok = true;
    if (op->kind == TRACE_COMMIT)
        ok = !none;
    else if (op->kind == TRACE_DECOMMIT || op->kind == TRACE_RELEASE)
        ok = none;
    else if (op->kind == TRACE_TOUCH)
        ok = (op->prot & TRACE_PROT_READ) != 0;
    return ok ||
           trace_bytes_fail(r->in, at, "%s with protection %d", KIND_NAMES[op->kind], op->prot);
}

/* The thread and the region of an operation; absent ones are those of the operation before. */
static bool read_subject(struct reader *r, size_t at, uint8_t head, const struct trace_op *before,
                         struct trace_op *op) {
    uint64_t number = 0;
    op->thread = before->thread;
    if ((head & HEAD_SAME_THREAD) == 0) {
        if (!trace_bytes_count(r->in, "a thread", 0, r->trace->thread_count - 1, &number))
            return false;
        op->thread = (uint16_t)number;
    }
    r->thread_used[op->thread] = true;

    op->region = before->region;
    if (op->kind == TRACE_RESERVE) {
        if ((head & HEAD_SAME_REGION) != 0)
            return trace_bytes_fail(r->in, at, "RESERVE of the region before");
        if (r->reserved_count == r->trace->region_count)
            return trace_bytes_fail(r->in, at, "more than the %" PRIu32 " regions of the header",
                                    r->reserved_count);
        op->region = r->reserved_count++;
        return true;
    }
    if ((head & HEAD_SAME_REGION) == 0) {
        if (!trace_bytes_difference(r->in, "a region", &number))
            return false;
        number += before->region;
        if (number >= r->reserved_count)
            return trace_bytes_fail(r->in, at, "%s of region %" PRIu64 ", which is not reserved",
                                    KIND_NAMES[op->kind], number);
        op->region = (uint32_t)number;
    }
    if (op->region >= r->reserved_count || r->regions[op->region].released)
        return trace_bytes_fail(r->in, at, "%s of region %" PRIu32 ", which is %s",
                                KIND_NAMES[op->kind], op->region,
                                op->region < r->reserved_count ? "released" : "not reserved");
    return true;
}

/* Offset and size, still in pages, and inside the region. */
static bool read_range(struct reader *r, size_t at, struct region *region, struct trace_op *op) {
    uint64_t limit = ADDRESS_BYTES_MAX / r->trace->page_size;
    if (op->kind == TRACE_RELEASE)
        return true;
    if (op->kind != TRACE_RESERVE) {
        if (!trace_bytes_difference(r->in, "an offset", &op->offset))
            return false;
        op->offset += region->cursor;
        limit = region->page_count;
    }
    if (!trace_bytes_number(r->in, "a size", &op->size))
        return false;
    if (op->size == 0)
        return trace_bytes_fail(r->in, at, "%s of size 0", KIND_NAMES[op->kind]);
    if (op->offset >= limit || op->size > limit - op->offset)
        return trace_bytes_fail(r->in, at,
                                "%s of %" PRIu64 " pages from page %" PRIu64 " of region %" PRIu32
                                ", which has %" PRIu64,
                                KIND_NAMES[op->kind], op->size, op->offset, op->region, limit);
    if (op->kind != TRACE_RESERVE)
        region->cursor = op->offset + op->size;
    return true;
}

static bool read_op(struct reader *r, const struct trace_op *before, struct trace_op *op) {
    size_t at = r->in->at;
    uint8_t head = 0;
    if (!trace_bytes_byte(r->in, "the operations", &head))
        return false;
    if ((head & HEAD_KIND) >= TRACE_OP_KINDS)
        return trace_bytes_fail(r->in, at, "unknown operation %d", head & HEAD_KIND);
    op->kind = head & HEAD_KIND;
    op->prot = (head >> HEAD_PROT_SHIFT) & 7;
    if (!check_prot(r, at, op) || !read_subject(r, at, head, before, op))
        return false;
    struct region *region = &r->regions[op->region];
    if (!read_range(r, at, region, op))
        return false;

    bool ok = true;
    switch (op->kind) {
    case TRACE_RESERVE:
        ok = apply_reserve(r, at, region, op);
        break;
    case TRACE_RELEASE:
        apply_release(r, region);
        break;
    default:
        ok = apply_pages(r, at, region, op);
        break;
    }
    struct trace *t = r->trace;
    note_max(&t->live_regions_max, r->live_regions);
    note_max(&t->reserved_max, r->reserved * t->page_size);
    note_max(&t->committed_max, r->totals.committed * t->page_size);
    note_max(&t->touched_max, r->totals.touched * t->page_size);
    op->offset *= t->page_size;
    op->size *= t->page_size;
    r->seen[op->kind]++;
    return ok;
}

static bool check_end(struct reader *r) {
    const struct trace *t = r->trace;
    if (r->in->at != trace_bytes_end(r->in))
        return trace_bytes_fail(r->in, r->in->at,
                                "%zu bytes between the operations and the checksum",
                                trace_bytes_end(r->in) - r->in->at);
    for (int kind = 0; kind < TRACE_OP_KINDS; kind++)
        if (r->seen[kind] != t->counts[kind])
            return trace_bytes_fail(r->in, r->in->at, "%" PRIu64 " %s, the header says %" PRIu64,
                                    r->seen[kind], KIND_NAMES[kind], t->counts[kind]);
    if (r->reserved_count != t->region_count)
        return trace_bytes_fail(r->in, r->in->at, "%" PRIu32 " regions, the header says %" PRIu32,
                                r->reserved_count, t->region_count);
    for (uint32_t thread = 0; thread < t->thread_count; thread++)
        if (!r->thread_used[thread])
            return trace_bytes_fail(r->in, r->in->at, "thread %" PRIu32 " has no operation",
                                    thread);
    const unsigned char *tail = r->in->bytes + r->in->at;
    uint32_t stored = (uint32_t)tail[0] | (uint32_t)tail[1] << 8 | (uint32_t)tail[2] << 16 |
                      (uint32_t)tail[3] << 24;
    uint32_t computed = trace_bytes_crc32(r->in->bytes, r->in->at);
    if (stored != computed)
        return trace_bytes_fail(r->in, r->in->at,
                                "checksum 0x%08" PRIx32 ", the bytes have 0x%08" PRIx32, stored,
                                computed);
    return true;
}

static bool read_trace(struct reader *r) {
    if (!trace_bytes_load(r->in))
        return false;
    if (r->in->size < sizeof MAGIC + TRACE_BYTES_CHECKSUM_SIZE)
        return trace_bytes_fail(r->in, r->in->size, "truncated: too short for a trace");
    if (!read_header(r))
        return false;
    struct trace_op before = {0};
    for (size_t i = 0; i < r->trace->op_count; i++) {
        if (!read_op(r, &before, &r->trace->ops[i]))
            return false;
        before = r->trace->ops[i];
    }
    return check_end(r);
}

int trace_load(const char *path, struct trace *out, char *error, size_t error_size) {
    *out = (struct trace){0};
    struct trace_bytes in = {.path = path, .error = error, .error_size = error_size};
    struct reader r = {.in = &in, .trace = out};
    if (error_size > 0)
        error[0] = '\0';
    bool ok = read_trace(&r);
    if (r.regions != NULL)
        for (uint32_t i = 0; i < r.reserved_count; i++)
            trace_pages_clear(&r.regions[i].pages, &r.totals);
    free(r.regions);
    free(r.thread_used);
    free(in.bytes);
    if (!ok)
        trace_free(out);
    return ok ? 0 : -1;
}

void trace_free(struct trace *trace) {
    free(trace->ops);
    *trace = (struct trace){0};
}
