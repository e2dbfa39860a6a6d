/* SPDX-License-Identifier: MIT */
/*
 * error_text: the buffer of each thread.
 *
 * The build gives all thread-local storage of the library the initial-exec model, so that the first
 * use in a thread does not allocate.
 */
#include "base/error_text.h"

#include <moat/moat.h>

#include <string.h>

static _Thread_local char text[MOAT_ERROR_TEXT_SIZE];
static _Thread_local uint32_t code;

/* What was noted and not put together yet; its call is NULL when `text` is up to date. */
static _Thread_local struct moat_refusal noted;

void moat_error_note(const char *what, uintptr_t address, const char *why) {
    noted.address = address;
    noted.why = why;
    noted.call = what;
}

void moat_error_refuse(const struct moat_refusal *refusal) {
    noted = *refusal;
}

void moat_error_set(const char *format, ...) {
    /* Made aside, because the last text may be among the arguments. */
    char next[MOAT_ERROR_TEXT_SIZE];
    va_list list;
    va_start(list, format);
    moat_format_list(next, sizeof next, format, list);
    va_end(list);
    memcpy(text, next, sizeof next);
    noted.call = NULL;
}

uint32_t moat_error_code(void) {
    return code;
}

void moat_error_code_set(uint32_t next) {
    code = next;
}

void moat_error_save(struct moat_error_state *state) {
    memcpy(state->text, text, sizeof text);
    state->noted = noted;
    state->code = code;
}

void moat_error_restore(const struct moat_error_state *state) {
    memcpy(text, state->text, sizeof text);
    noted = state->noted;
    code = state->code;
}

const char *moat_last_error_text(void) {
    /* A copy: whoever looks the facts up may come to note something itself. */
    const struct moat_refusal refusal = noted;

    if (refusal.call && refusal.why)
        moat_error_set("%s at %#lx: %s", refusal.call, (unsigned long)refusal.address, refusal.why);
    else if (refusal.call && refusal.tell)
        refusal.tell(&refusal);
    return text;
}
