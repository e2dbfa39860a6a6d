/* SPDX-License-Identifier: MIT */
/*
 * error_text: why the last call of this thread failed, in a sentence.
 *
 * One buffer a thread, in static TLS: no allocation, and safe in a signal handler. A handler that
 * sets a text while its own thread was setting one may leave a mixture, always terminated. Read by
 * moat_last_error_text.
 */
#ifndef MOAT_BASE_ERROR_TEXT_H
#define MOAT_BASE_ERROR_TEXT_H

#include "base/format.h"

#include <stdint.h>

/* Bytes kept of a text, its NUL included. Static TLS of a library loaded late is scarce. */
#define MOAT_ERROR_TEXT_SIZE 640

/*
 * Set the text of this thread: a sentence without a full stop or newline at its end. Formats are
 * those of base/format.h, what is too long is cut, and the last text may be among the arguments.
 */
void moat_error_set(const char *format, ...) MOAT_PRINTF(1, 2);

/*
 * Set the text to "<what> at <address>: <why>", put together only when it is read: refusing a wrong
 * pointer must not cost more than finding out that it is wrong. Both strings live for ever.
 */
void moat_error_note(const char *what, uintptr_t address, const char *why);

/*
 * A call that was refused, and what was known of it then. What it means (whose memory that is, who
 * freed it before) is found out when somebody reads the text, which few do.
 */
struct moat_refusal {
    const char *call; /* as "release"; lives for ever */
    const char *why;  /* a constant sentence, or NULL: `tell` finds the words */
    void (*tell)(const struct moat_refusal *refusal); /* by moat_error_set */
    uintptr_t address;                                /* as it was given */
    size_t size;                                      /* as it was given */
    uintptr_t where;                                  /* what is wrong lies here */
    uintptr_t base;      /* of the region that it is about; 0: none is known */
    size_t length;       /* of that region */
    const void *manager; /* or heap, whose call it was: to be compared, it may be gone */
    uint32_t status;     /* what is returned */
    uint32_t kind;       /* and what it is called, in words of the caller's */
    uint32_t detail;
};

/* Set the text to what refusal->tell will say, put together only when it is read. */
void moat_error_refuse(const struct moat_refusal *refusal);

/* The code of the thread's last error, as the Win32 face tells it; 0 at first. */
uint32_t moat_error_code(void);
void moat_error_code_set(uint32_t code);

/* What a thread can be told of its errors, set aside while a signal handler calls Moat. */
struct moat_error_state {
    char text[MOAT_ERROR_TEXT_SIZE];
    struct moat_refusal noted;
    uint32_t code;
};

void moat_error_save(struct moat_error_state *state);
void moat_error_restore(const struct moat_error_state *state);

#endif
