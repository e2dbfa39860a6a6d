/* SPDX-License-Identifier: MIT */
/*
 * fault: one-shot guards, decided under the stripe of the page.
 *
 * The kernel refused an access some time ago; what counts is what the books say now that the stripe
 * is held. An armed guard is dropped by exactly one thread. All others that touched it meanwhile
 * find a page like any other: an access that it allows is repeated, one that it does not allow is a
 * violation. So the first write to a read-only guard page is a guard fault, and the second, or the
 * same one by a thread that lost the race, is a violation.
 *
 * Everything here runs in signal handlers: no error text, no allocation, nothing of the host
 * touched while a stripe is held.
 *
 * Edges
 *   told     the callback is written, then the number says installed -> a handler calls it whole
 *   retold   a later callback is written after the number changed -> who reads it sees it changed
 */
#include "vm/fault.h"

#include "base/error_text.h"
#include "base/probe.h"
#include "region/clean.h"
#include "region/pages.h"
#include "vm/fault_report.h"
#include "vm/manager.h"
#include "vm/range.h"

#include <stdatomic.h>

/* An access that the books allow and that fails again this often in a row, with no guard dropped
 * and no first write let through anywhere in between, is not refused by Moat. */
#define REPEATS_MAX 1000u

/* What is to be done about an access. */
enum verdict {
    REFUSED,
    REPEATED,
    STUCK, /* the first write to a clean page, which the kernel does not let through alone */
};

/* Whom the host wants told. */
struct listener {
    void (*callback)(const struct moat_fault *fault, void *context);
    void *context;
};

/* Odd while installed. A pair is written only while it is even, and each has its own number. */
static _Atomic uint32_t number;
static _Atomic(void (*)(const struct moat_fault *, void *)) callback;
static _Atomic(void *) callback_context;
static _Atomic uint32_t changing; /* the process whose thread changes it; another one is a parent */

static _Atomic bool reporting; /* violations are told */
static bool hooked;            /* the os layer asks; for who may change it alone */

static _Atomic uint32_t pages_opened; /* of the process, to tell races from loops */

static _Thread_local struct {
    uintptr_t page;
    unsigned access;
    uint32_t opened;
    uint32_t count;
} repeats;

/* The books allow the access. Once more, if that can be the end of it. */
static bool may_repeat(uintptr_t page, unsigned access) {
    /* relaxed: a count that is compared for change alone. */
    uint32_t opened = atomic_load_explicit(&pages_opened, memory_order_relaxed);

    if (repeats.page != page || repeats.access != access || repeats.opened != opened) {
        repeats.page = page;
        repeats.access = access;
        repeats.opened = opened;
        repeats.count = 0;
    }
    return repeats.count++ < REPEATS_MAX;
}

static void count_opened(void) {
    /* relaxed: as in may_repeat. */
    atomic_fetch_add_explicit(&pages_opened, 1, memory_order_relaxed);
}

bool moat_fault_drop_guard(const struct moat_region_ref *ref, uintptr_t page, uint8_t state) {
    uint8_t open = state & (uint8_t)~MOAT_PAGE_IS_GUARD;

    if (moat_os_protect((void *)page, MOAT_PAGE, moat_page_access(open, true))) {
        moat_manager_count(ref->owner, MOAT_COUNT_GUARD_FAILURES, 1);
        return false;
    }
    moat_pages_set(ref->space, page, page + MOAT_PAGE, open);
    count_opened();
    return true;
}

/* The stripe of the page is held. A guard fires before a write is noted. */
static enum verdict judge_page(const struct moat_region_ref *ref, uintptr_t page, unsigned access,
                               struct moat_fault *fault) {
    struct moat_run run = moat_pages_run(ref->space, page, page + MOAT_PAGE);

    if (!(run.state & MOAT_PAGE_COMMITTED))
        return REFUSED;
    if (run.state & MOAT_PAGE_IS_GUARD) {
        if (!moat_fault_drop_guard(ref, page, run.state))
            return REFUSED;
        fault->kind = MOAT_FAULT_GUARD_PAGE;
        fault->owner = ref->owner;
        fault->protection =
            moat_protection_seen(run.state & (uint8_t)~MOAT_PAGE_IS_GUARD, ref->protection);
        return REPEATED;
    }
    if (moat_clean_traps(run.state, access)) {
        if (!moat_clean_wrote(ref->space, page))
            return STUCK;
        count_opened();
        return REPEATED;
    }
    unsigned allowed = moat_page_access(run.state, true);
    unsigned tried = access ? access : MOAT_OS_READ | MOAT_OS_WRITE | MOAT_OS_EXECUTE;
    return (allowed & tried) == tried && may_repeat(page, access) ? REPEATED : REFUSED;
}

/* The kernel has no mapping left to tell one page from its neighbours. */
static bool give_up_cleanness(const struct moat_region_ref *ref) {
    uintptr_t end = ref->base + ref->size;
    uint32_t stripes;

    if (moat_region_mine(ref, ref->base, end))
        return false;
    struct moat_patience patience = {.past_lock = true};
    if (moat_manager_enter(ref, ref->base, end, &patience, &stripes))
        return false;
    bool all = moat_clean_give_up(ref->space, ref->base, end);
    moat_region_leave(ref, stripes);
    count_opened();
    return all;
}

bool moat_fault_judge(const struct moat_os_fault *found, struct moat_fault *fault) {
    uintptr_t page = moat_round_down(found->address, MOAT_PAGE);
    struct moat_patience patience = {.past_lock = true}; /* calls wait for locks; accesses do not */
    struct moat_region_ref ref;
    enum moat_status status;
    uint32_t stripes;

    *fault = (struct moat_fault){.address = (void *)found->address};
    if (found->access == MOAT_OS_READ)
        fault->access = MOAT_FAULT_READ;
    else if (found->access == MOAT_OS_WRITE)
        fault->access = MOAT_FAULT_WRITE;
    else if (found->access == MOAT_OS_EXECUTE)
        fault->access = MOAT_FAULT_EXECUTE;
    do {
        if (!moat_region_find(page, &ref))
            return false;
        if (moat_region_mine(&ref, page, page + MOAT_PAGE))
            return false;
        status = moat_manager_enter(&ref, page, page + MOAT_PAGE, &patience, &stripes);
    } while (status == MOAT_NOT_OURS); /* released meanwhile: perhaps reserved again, too */
    if (status)
        return false;
    enum verdict verdict = judge_page(&ref, page, found->access, fault);
    moat_region_leave(&ref, stripes);
    bool repeat = verdict == REPEATED || (verdict == STUCK && give_up_cleanness(&ref));
    if (!repeat || fault->kind)
        repeats.count = 0;
    return repeat;
}

int moat_guard_fault(void *addr) {
    /* Not a write, nor an access that may be one: it would let a clean page be written. */
    struct moat_os_fault found = {.address = (uintptr_t)addr, .access = MOAT_OS_READ};
    struct moat_fault fault;
    return moat_fault_judge(&found, &fault) && fault.kind == MOAT_FAULT_GUARD_PAGE;
}

/* For tools that look in: an access that trapped, and whether it is repeated. */
static void probe(const struct moat_os_fault *found, bool resolved) {
    MOAT_PROBE(trap, found->address, found->access, 0, !resolved, found->code);
}

bool moat_fault_resolve(int signal, const void *siginfo, const void *context,
                        struct moat_fault *fault) {
    struct moat_os_fault found;
    struct moat_fault ignored;

    if (!fault)
        fault = &ignored;
    *fault = (struct moat_fault){0};
    if (!moat_os_fault_read(signal, siginfo, context, &found))
        return false;
    bool resolved = moat_fault_judge(&found, fault);
    probe(&found, resolved);
    return resolved;
}

/* Who is to be told at this moment; false when no handler is installed. */
static bool find_listener(struct listener *listener) {
    for (;;) {
        /* A(told) */
        uint32_t seen = atomic_load_explicit(&number, memory_order_acquire);
        if (!(seen & 1))
            return false;
        /* A(retold) */
        listener->callback = atomic_load_explicit(&callback, memory_order_acquire);
        /* A(retold) */
        listener->context = atomic_load_explicit(&callback_context, memory_order_acquire);
        /* relaxed: ordered behind the two above by A(retold). */
        if (atomic_load_explicit(&number, memory_order_relaxed) == seen)
            return true;
    }
}

/* What the os layer asks of every fault. */
static bool resolve(const struct moat_os_fault *found) {
    struct moat_error_state errors;
    struct moat_fault fault;
    struct listener listener;

    bool resolved = find_listener(&listener) && moat_fault_judge(found, &fault);
    probe(found, resolved);
    if (!resolved) {
        /* relaxed: a word that stands for itself. */
        if (atomic_load_explicit(&reporting, memory_order_relaxed))
            (void)moat_fault_tell(found);
        return false;
    }
    if (fault.kind && listener.callback) {
        moat_error_save(&errors);
        listener.callback(&fault, listener.context);
        moat_error_restore(&errors);
    }
    return true;
}

/* Whether it is this thread that may change what is installed. */
static bool begin_change(void) {
    uint32_t own = moat_os_process();
    /* relaxed: compared when it is swapped. */
    uint32_t found = atomic_load_explicit(&changing, memory_order_relaxed);
    /* A(told) */
    return found != own && atomic_compare_exchange_strong_explicit(
                               &changing, &found, own, memory_order_acquire, memory_order_relaxed);
}

static enum moat_status end_change(enum moat_status status, const char *why) {
    /* R(told) */
    atomic_store_explicit(&changing, 0, memory_order_release);
    return status ? moat_fail(status, "fault handler", 0, why) : MOAT_OK;
}

static bool installed(void) {
    /* relaxed: changed by who may change it alone. */
    return atomic_load_explicit(&number, memory_order_relaxed) & 1;
}

bool moat_fault_handled(void) {
    /* A(told) */
    return atomic_load_explicit(&number, memory_order_acquire) & 1;
}

/* Be asked of every fault before anybody else is. */
static bool hook(void) {
    if (hooked && moat_os_fault_on_top())
        return true;
    if (moat_os_fault_install(resolve))
        return false;
    hooked = true;
    return true;
}

/* Be asked no longer, if nobody needs that. */
static void unhook(void) {
    /* relaxed: changed by who may change it alone. */
    if (installed() || atomic_load_explicit(&reporting, memory_order_relaxed))
        return;
    /* What is refused here leaves the handler where it is, and it passes everything on. */
    (void)moat_os_fault_remove();
    hooked = false;
}

static void next_number(void) {
    /* R(told) */
    atomic_fetch_add_explicit(&number, 1, memory_order_release);
}

static const char no_place[] =
    "SIGSEGV cannot be handled, or handlers of others lie on top of each of ours";

enum moat_status moat_fault_handler_install(void (*told)(const struct moat_fault *fault,
                                                         void *context),
                                            void *context) {
    if (!begin_change())
        return moat_fail(MOAT_TIMEOUT, "fault handler", 0, "another thread is changing it");
    if (installed())
        return end_change(MOAT_INVALID_ARGUMENT, "it is installed already");
    /* R(retold) */
    atomic_store_explicit(&callback, told, memory_order_release);
    /* R(retold) */
    atomic_store_explicit(&callback_context, context, memory_order_release);
    next_number();
    if (hook())
        return end_change(MOAT_OK, NULL);
    next_number();
    return end_change(MOAT_NOT_SUPPORTED, no_place);
}

enum moat_status moat_fault_handler_remove(void) {
    if (!begin_change())
        return moat_fail(MOAT_TIMEOUT, "fault handler", 0, "another thread is changing it");
    if (!installed())
        return end_change(MOAT_INVALID_ARGUMENT, "it is not installed");
    next_number();
    unhook();
    return end_change(MOAT_OK, NULL);
}

enum moat_status moat_fault_reporter_install(struct moat_manager *manager) {
    if (!begin_change())
        return moat_fail(MOAT_TIMEOUT, "fault reporter", 0, "another thread is changing it");
    /* relaxed: changed by who may change it alone. */
    if (!atomic_load_explicit(&reporting, memory_order_relaxed) && !hook())
        return end_change(MOAT_NOT_SUPPORTED, no_place);
    if (manager)
        moat_fault_tell_through(manager);
    /* relaxed: a word that stands for itself. */
    atomic_store_explicit(&reporting, true, memory_order_relaxed);
    return end_change(MOAT_OK, NULL);
}

enum moat_status moat_fault_reporter_remove(void) {
    if (!begin_change())
        return moat_fail(MOAT_TIMEOUT, "fault reporter", 0, "another thread is changing it");
    /* relaxed: changed by who may change it alone. */
    if (!atomic_exchange_explicit(&reporting, false, memory_order_relaxed))
        return end_change(MOAT_INVALID_ARGUMENT, "it is not installed");
    unhook();
    return end_change(MOAT_OK, NULL);
}
