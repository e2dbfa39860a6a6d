/* SPDX-License-Identifier: MIT */
/*
 * trace_bytes: the bytes of a trace file, and how its numbers and strings are read from them.
 *
 * Every function that can fail leaves one line in `error` with the file, the byte offset and what
 * is wrong, and returns false. `what` names the thing read, for that line.
 */
#ifndef MOAT_BENCH_TRACE_BYTES_H
#define MOAT_BENCH_TRACE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace.h"

enum { TRACE_BYTES_CHECKSUM_SIZE = 4 };

struct trace_bytes {
    const char *path;
    unsigned char *bytes; /* freed by the owner, after failures too */
    size_t size;
    size_t at; /* next byte to read */
    char *error;
    size_t error_size;
};

/* Read the whole file at b->path; b->bytes is NULL and b->size is 0 before. */
bool trace_bytes_load(struct trace_bytes *b);

/* End of what may be decoded; the size must be at least TRACE_BYTES_CHECKSUM_SIZE. */
size_t trace_bytes_end(const struct trace_bytes *b);

bool trace_bytes_byte(struct trace_bytes *b, const char *what, uint8_t *out);
bool trace_bytes_number(struct trace_bytes *b, const char *what, uint64_t *out);

/* A signed difference, as the unsigned number that has the same effect when added modulo 2^64. */
bool trace_bytes_difference(struct trace_bytes *b, const char *what, uint64_t *out);

/* A number from min to max. */
bool trace_bytes_count(struct trace_bytes *b, const char *what, uint64_t min, uint64_t max,
                       uint64_t *out);

/* Printable ASCII, neither empty nor too long. */
bool trace_bytes_string(struct trace_bytes *b, const char *what, char out[TRACE_NAME_SIZE]);

/* Write the error; returns false, so that a check can return it. */
bool trace_bytes_fail(struct trace_bytes *b, size_t at, const char *format, ...);

uint32_t trace_bytes_crc32(const unsigned char *bytes, size_t size);

#endif
