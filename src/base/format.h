/* SPDX-License-Identifier: MIT */
/*
 * format: a small async-signal-safe snprintf.
 *
 * Knows %s %c %d %i %u %x %X %p and %%, the lengths hh, h, l, ll, j, z and t, the flags 0 and #, a
 * width and, for %s, a precision, each of the last two also as `*`: what reports and error texts
 * need. No locale, no lock, no allocation, no errno. Anything else in a format is copied as it
 * stands and ends the use of arguments: a wrong format may print nonsense, but what an unknown
 * conversion would have taken is never guessed.
 */
#ifndef MOAT_BASE_FORMAT_H
#define MOAT_BASE_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

/* MOAT_PRINTF lets the compiler check the arguments against the format. */
#if defined(__GNUC__)
#define MOAT_PRINTF(position, first) __attribute__((format(printf, position, first)))
#else
#define MOAT_PRINTF(position, first)
#endif

/*
 * Write the text, cut to fit, and a NUL when size > 0.
 *
 * Returns   the length of the whole text; it was cut if that is not below `size`
 * Threads   any; async-signal-safe
 */
size_t moat_format(char *text, size_t size, const char *format, ...) MOAT_PRINTF(3, 4);
size_t moat_format_list(char *text, size_t size, const char *format, va_list arguments)
    MOAT_PRINTF(3, 0);

#endif
