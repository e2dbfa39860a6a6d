/* SPDX-License-Identifier: MIT */
/* latch: one flag for the process, and one for the thread that set it. */
#include "region/latch.h"

#include "base/error_text.h"
#include "os/os.h"

_Atomic bool moat_latch_state;

static _Thread_local bool found_here;

void moat_latch(const char *what, uintptr_t address) {
    char text[MOAT_ERROR_TEXT_SIZE];

    found_here = true;
    moat_error_set("corruption at %#lx: %s; Moat does nothing more in this process",
                   (unsigned long)address, what);
    /* relaxed: a flag that stands for itself; only the first finder reports. */
    if (atomic_exchange_explicit(&moat_latch_state, true, memory_order_relaxed))
        return;
    size_t length = moat_format(text, sizeof(text),
                                "moat: corruption at %#lx: %s\n"
                                "moat: found by thread %u; every later call in this process "
                                "answers MOAT_UNAVAILABLE\n",
                                (unsigned long)address, what, moat_os_thread());
    moat_os_complain(text, length < sizeof(text) ? length : sizeof(text) - 1);
}

bool moat_latch_taken(void) {
    bool taken = found_here;
    found_here = false;
    return taken;
}
