/* SPDX-License-Identifier: MIT */
/*
 * site: which line of the host made this call? The address that the call returns to.
 *
 * A public function of the native API notes its caller. A face, which calls such functions, notes
 * its own caller around that, and that one counts.
 *
 *     moat_site_note(MOAT_SITE_HERE);                      native
 *     struct moat_site_frame frame = moat_site_enter(MOAT_SITE_HERE);
 *     ... native calls ...
 *     moat_site_leave(frame);                              face
 *
 * Whoever leaves a call by siglongjmp out of a callback leaves his site behind, for native calls.
 */
#ifndef MOAT_BASE_SITE_H
#define MOAT_BASE_SITE_H

#include <stdint.h>

/* Where the function that this stands in returns to. */
#define MOAT_SITE_HERE ((uintptr_t)__builtin_return_address(0))

struct moat_site {
    uintptr_t outer; /* of a face; 0: the native call is the outermost */
    uintptr_t native;
};

struct moat_site_frame {
    uintptr_t before;
};

extern _Thread_local struct moat_site moat_site_of_thread
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

static inline void moat_site_note(uintptr_t site) {
    moat_site_of_thread.native = site;
}

static inline struct moat_site_frame moat_site_enter(uintptr_t site) {
    struct moat_site_frame frame = {moat_site_of_thread.outer};
    moat_site_of_thread.outer = site;
    return frame;
}

static inline void moat_site_leave(struct moat_site_frame frame) {
    moat_site_of_thread.outer = frame.before;
}

/* The site of the call that this thread is in; 0: none was noted. */
static inline uintptr_t moat_site(void) {
    return moat_site_of_thread.outer ? moat_site_of_thread.outer : moat_site_of_thread.native;
}

#endif
