/* SPDX-License-Identifier: MIT */
/*
 * calls: by which face the acts call Moat. The native one is there from the beginning.
 *
 * Arguments and results are those of the native calls, but that `owner` stands for a manager, and
 * MODEL_OWNERS for whichever it is. A face that has fewer codes than there are statuses answers
 * with any status that has the code which it saw; `alike` says whether another one has it too.
 */
#ifndef MOAT_TESTS_FUZZ_CALLS_H
#define MOAT_TESTS_FUZZ_CALLS_H

#include "model.h"

#include <moat/placement.h>

struct calls {
    bool protects_any; /* protect is for regions of all managers, in the name of one */
    bool (*alike)(enum moat_status is, enum moat_status should);
    enum moat_status (*reserve)(unsigned owner, void *address, size_t size, uint32_t protection,
                                uint32_t flags, void **base);
    enum moat_status (*reserve_within)(unsigned owner, size_t size, uint32_t protection,
                                       uint32_t flags, const struct moat_address_limits *limits,
                                       void **base);
    enum moat_status (*commit)(unsigned owner, void *address, size_t size, uint32_t protection,
                               void **start);
    enum moat_status (*reset)(unsigned owner, void *address, size_t size, uint32_t protection,
                              void **start);
    enum moat_status (*reset_undo)(unsigned owner, void *address, size_t size, uint32_t protection,
                                   void **start);
    enum moat_status (*decommit)(unsigned owner, void *address, size_t size);
    enum moat_status (*release)(unsigned owner, void *address);
    enum moat_status (*protect)(unsigned owner, void *address, size_t size, uint32_t protection,
                                uint32_t *old);
    enum moat_status (*watch_get)(unsigned owner, uint32_t flags, const void *address, size_t size,
                                  void **pages, size_t *count);
    enum moat_status (*watch_reset)(unsigned owner, const void *address, size_t size);
    enum moat_status (*lock_pages)(unsigned owner, void *address, size_t size);
    enum moat_status (*unlock_pages)(unsigned owner, void *address, size_t size);
    enum moat_status (*discard)(unsigned owner, void *address, size_t size);
    enum moat_status (*placeholder)(unsigned owner, void *address, size_t size, uint32_t flags,
                                    void **base);
    enum moat_status (*replace)(unsigned owner, void *address, size_t size, uint32_t protection,
                                uint32_t flags, void **base);
    enum moat_status (*preserve)(unsigned owner, void *address, size_t size);
    enum moat_status (*coalesce)(unsigned owner, void *address, size_t size);
    enum moat_status (*adopt)(unsigned owner, const void *address, size_t size);
    enum moat_status (*disown)(unsigned owner, const void *address);
    enum moat_status (*trim)(unsigned owner, const void *address, size_t size, size_t *given);
};

extern const struct calls calls_native;

/* The face in use. */
extern const struct calls *calls;

#endif
