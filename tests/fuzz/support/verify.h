/* SPDX-License-Identifier: MIT */
/*
 * verify: is what Moat answers, and what memory does, what the model says? Ends the process if not,
 * after writing what differed and the calls that led there.
 */
#ifndef MOAT_TESTS_FUZZ_VERIFY_H
#define MOAT_TESTS_FUZZ_VERIFY_H

#include "model.h"

/* Remember a call for the story told by verify_fail; a line at its beginning; or forget all. */
void verify_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void verify_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void verify_forget(void);

_Noreturn void verify_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Every page of [start, end) can be read and written as the model says, and holds what it says. */
void verify_pages(struct model *model, uintptr_t start, uintptr_t end);

/* A walk of queries over [start, end) finds the runs of the model. */
void verify_queries(struct model *model, struct moat_manager *const *owners, uintptr_t start,
                    uintptr_t end);

/* The counters of a manager are those of the model. */
void verify_stats(const struct model *model, unsigned owner, const struct moat_manager *manager);

/* The kernel has locked as much memory as the model says. */
void verify_locked(const struct model *model);

/* A readable page holds what the model says; if it was reset and is gone, the model is told. */
void verify_content(struct model_page *page, uintptr_t address);

/* Whether a readable page holds this pattern. */
bool verify_holds(uintptr_t page, uint8_t content);

/* Fill a writable page with a pattern that no other page has. */
void verify_fill(uintptr_t page, uint8_t content);

#endif
