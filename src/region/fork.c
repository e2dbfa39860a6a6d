/* SPDX-License-Identifier: MIT */
/* fork: noticing it, and who mends. */
#include "region/fork.h"

#include "os/os.h"
#include "region/books.h"
#include "region/geometry.h"
#include "region/limbo.h"
#include "region/mend.h"
#include "region/policy.h"
#include "region/resting.h"
#include "region/retain.h"
#include "region/spare.h"

/* A page of its own, which the kernel empties in a child. */
struct page {
    _Atomic uint64_t link; /* of the books */
    _Atomic uint32_t word;
    _Atomic uint32_t noted; /* `held` is what T held at the fork */
    struct moat_held held;
};

static _Atomic uint32_t never_forked = MOAT_MENDED;
_Atomic uint32_t *moat_fork_word = &never_forked;
static struct page *the_page;
static _Atomic(void (*)(const struct moat_fork_report *)) followers[MOAT_FORK_LAYERS];

/* This thread mends: what interrupts it must not wait for it. */
static _Thread_local volatile bool mending;

void moat_fork_follow(enum moat_fork_layer layer, void (*mend)(const struct moat_fork_report *)) {
    /* relaxed: a constant. */
    atomic_store_explicit(&followers[layer], mend, memory_order_relaxed);
}

/* The handler of the C library, in the child, by T. */
static void note_fork(void) {
    /* relaxed: there is no other thread. */
    atomic_store_explicit(&the_page->word, MOAT_FORKED, memory_order_relaxed);
    moat_held_look(&the_page->held);
    /* relaxed: as above. */
    atomic_store_explicit(&the_page->noted, 1, memory_order_relaxed);
    moat_policy_in_child(&the_page->held);
}

bool moat_fork_start(void) {
    if (the_page)
        return true;
    struct page *page = moat_books_take(MOAT_PAGE);
    if (!page)
        return false;
    /* Refused, children that the C library does not know of are not noticed. */
    (void)moat_os_wipe_on_fork(page, MOAT_PAGE);
    /* relaxed: seen by whoever sees the books set up. */
    atomic_store_explicit(&page->word, MOAT_MENDED, memory_order_relaxed);
    the_page = page;
    moat_fork_word = &page->word;
    moat_os_at_fork(note_fork);
    return true;
}

/* By T, or by another thread where T was noted. Of T what counts is what it holds now. */
static void mend(void) {
    struct moat_held own;
    struct moat_fork_report report = {.held = &own};

    moat_held_look(&own);
    /* relaxed: written before this thread was made, if not by itself. */
    if (!atomic_load_explicit(&the_page->noted, memory_order_relaxed)) {
        moat_os_thread_forget();
        the_page->held = own;
        moat_policy_in_child(&own);
    } else if (the_page->held.token != own.token) {
        report.held = &the_page->held;
    }
    moat_spare_forget();
    bool places_nothing = report.held->tasks[MOAT_HELD_PLACE] == 0;
    if (places_nothing)
        moat_resting_in_child();
    moat_limbo_in_child(places_nothing);
    moat_mend_regions(&report);
    moat_policy_catch_up(&the_page->held, report.held);
    /* What the forking thread is in the middle of it has paid for, or will pay back. */
    if (report.held->count == 0 && places_nothing)
        moat_retain_mend();
    for (unsigned layer = 0; layer < MOAT_FORK_LAYERS; layer++) {
        /* relaxed: a constant. */
        void (*follow)(const struct moat_fork_report *) =
            atomic_load_explicit(&followers[layer], memory_order_relaxed);
        if (follow)
            follow(&report);
    }
}

void moat_fork_mend(void) {
    if (mending)
        return;
    for (;;) {
        uint32_t word = MOAT_FORKED;
        /* A(mended) */
        if (atomic_compare_exchange_strong_explicit(moat_fork_word, &word, MOAT_MENDING,
                                                    memory_order_acquire, memory_order_acquire))
            break;
        if (word == MOAT_MENDED)
            return;
        (void)moat_os_wait(moat_fork_word, MOAT_MENDING, UINT64_MAX);
    }
    mending = true;
    mend();
    mending = false;
    /* R(mended) */
    atomic_store_explicit(moat_fork_word, MOAT_MENDED, memory_order_release);
    moat_os_wake(moat_fork_word);
}
