/* SPDX-License-Identifier: MIT */
/*
 * trace_bytes: bounded reading of the primitives of the trace format.
 *
 * The last four bytes are the checksum and never decoded as anything else, so a truncated file ends
 * inside something that the message can name.
 */
#include "trace_bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_SIZE_MAX = 64 * 1024 * 1024 };

/* Returns false, so that a check reads `return fail(...)`. */
bool trace_bytes_fail(struct trace_bytes *b, size_t at, const char *format, ...) {
    if (b->error_size == 0)
        return false;
    int length = snprintf(b->error, b->error_size, "%s: byte %zu: ", b->path, at);
    if (length < 0 || (size_t)length >= b->error_size)
        return false;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(b->error + length, b->error_size - (size_t)length, format, args);
    va_end(args);
    return false;
}

bool trace_bytes_load(struct trace_bytes *b) {
    FILE *file = fopen(b->path, "rb");
    if (file == NULL)
        return trace_bytes_fail(b, 0, "cannot open: %s", strerror(errno));
    size_t capacity = 0;
    bool ok = true;
    for (;;) {
        if (b->size == capacity) {
            capacity = capacity == 0 ? 64 * 1024 : capacity * 2;
            unsigned char *bytes = realloc(b->bytes, capacity);
            if (bytes == NULL) {
                ok = trace_bytes_fail(b, b->size, "out of memory for %zu bytes of file", capacity);
                break;
            }
            b->bytes = bytes;
        }
        size_t got = fread(b->bytes + b->size, 1, capacity - b->size, file);
        b->size += got;
        if (b->size > FILE_SIZE_MAX) {
            ok = trace_bytes_fail(b, b->size, "longer than the %d bytes a trace may have",
                                  FILE_SIZE_MAX);
            break;
        }
        if (got == 0) {
            if (ferror(file))
                ok = trace_bytes_fail(b, b->size, "cannot read: %s", strerror(errno));
            break;
        }
    }
    fclose(file);
    return ok;
}

/* The checksum is no part of what may be decoded; read_trace makes sure that it is there. */
size_t trace_bytes_end(const struct trace_bytes *b) {
    return b->size - TRACE_BYTES_CHECKSUM_SIZE;
}

bool trace_bytes_byte(struct trace_bytes *b, const char *what, uint8_t *out) {
    if (b->at >= trace_bytes_end(b))
        return trace_bytes_fail(b, b->at, "truncated: the file ends inside %s", what);
    *out = b->bytes[b->at++];
    return true;
}

bool trace_bytes_number(struct trace_bytes *b, const char *what, uint64_t *out) {
    size_t start = b->at;
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = 0;
        if (!trace_bytes_byte(b, what, &byte))
            return false;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *out = value;
            return true;
        }
    }
    return trace_bytes_fail(b, start, "%s does not fit 64 bits", what);
}

/* A signed difference as the unsigned number that, added modulo 2^64, has the same effect. */
bool trace_bytes_difference(struct trace_bytes *b, const char *what, uint64_t *out) {
    uint64_t value = 0;
    if (!trace_bytes_number(b, what, &value))
        return false;
    *out = (value >> 1) ^ (~(value & 1) + 1);
    return true;
}

bool trace_bytes_count(struct trace_bytes *b, const char *what, uint64_t min, uint64_t max,
                       uint64_t *out) {
    size_t start = b->at;
    if (!trace_bytes_number(b, what, out))
        return false;
    if (*out < min || *out > max)
        return trace_bytes_fail(b, start, "%s is %" PRIu64 ", not %" PRIu64 " to %" PRIu64, what,
                                *out, min, max);
    return true;
}

bool trace_bytes_string(struct trace_bytes *b, const char *what, char out[TRACE_NAME_SIZE]) {
    uint64_t length = 0;
    if (!trace_bytes_count(b, what, 1, TRACE_NAME_SIZE - 1, &length))
        return false;
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = 0;
        if (!trace_bytes_byte(b, what, &byte))
            return false;
        if (byte < 0x20 || byte > 0x7e)
            return trace_bytes_fail(b, b->at - 1, "%s has the unprintable byte 0x%02x", what, byte);
        out[i] = (char)byte;
    }
    out[length] = '\0';
    return true;
}

uint32_t trace_bytes_crc32(const unsigned char *bytes, size_t size) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (UINT32_C(0xedb88320) & (~(crc & 1) + 1));
    }
    return ~crc;
}
