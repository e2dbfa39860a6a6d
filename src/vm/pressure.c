/* SPDX-License-Identifier: MIT */
/*
 * pressure: a thread that looks now and then, and tells when the level has changed.
 *
 * Whoever takes the pointer out of the manager ends the watch, so it is ended once. What is easy to
 * get wrong: a callback that ends its own watch cannot wait for itself, and may even destroy the
 * manager. The watch is therefore a piece of its own, the thread touches the manager only before a
 * callback, and after the last one it cleans up alone.
 *
 * Edges. R() marks the releasing end, A() the acquiring end.
 *
 *   watch   a watch is made, then put in its manager -> who takes it out sees all of it
 *   state   the state is set -> the thread that sees it sees what was written before
 */
#include "vm/pressure.h"

#include "base/error_text.h"
#include "os/os.h"
#include "region/books.h"
#include "region/limbo.h"
#include "region/retain.h"
#include "vm/manager.h"
#include "vm/memory.h"

#include <errno.h>

/* How soon the next look may follow, and when it does for want of an event. */
#define PAUSE_NS  (100 * MOAT_OS_MS)
#define SECOND_NS (1000 * MOAT_OS_MS)
#define RARELY_NS (2 * SECOND_NS)

#define STACK_SIZE ((size_t)256 << 10)

enum { PARKED, RUNNING, STOPPED };

struct moat_watcher {
    _Atomic uint64_t link; /* of the books */
    struct moat_manager *manager;
    void (*callback)(enum moat_memory_level level, void *context);
    void (*ended)(void *context);
    void *context;
    struct moat_os_pressure source;
    uintptr_t worker;
    uint32_t process;        /* a forked child has the watch but not the thread */
    bool alone;              /* ended by its own callback: of that thread only */
    _Atomic uint32_t runner; /* the thread, as moat_os_thread numbers it */
    _Atomic uint32_t state;
};

static uint32_t state_of(const struct moat_watcher *watch) {
    /* A(state) */
    return atomic_load_explicit(&watch->state, memory_order_acquire);
}

/* What remains when the thread will not call back again. */
static void finish(struct moat_watcher *watch) {
    moat_os_pressure_close(&watch->source);
    if (watch->ended)
        watch->ended(watch->context);
    moat_books_give(watch, sizeof *watch);
}

/* Look once, and tell what is new. */
static void look(struct moat_watcher *watch, enum moat_memory_level *level) {
    struct moat_load load;
    uint64_t age_ns;

    if (moat_memory_figures(watch->manager, true, &load, &age_ns))
        return;
    enum moat_memory_level found = moat_load_level(&load, *level);
    if (found == *level)
        return;
    *level = found;
    if (found == MOAT_MEMORY_LOW) {
        (void)moat_limbo_flush_all();
        (void)moat_retain_empty_all(false);
    }
    watch->callback(found, watch->context);
}

static void *run(void *argument) {
    struct moat_watcher *watch = argument;
    enum moat_memory_level level = MOAT_MEMORY_NEUTRAL;

    moat_os_worker_name("moat-pressure");
    /* relaxed: only this thread compares it with success. */
    atomic_store_explicit(&watch->runner, moat_os_thread(), memory_order_relaxed);
    while (state_of(watch) == PARKED)
        (void)moat_os_wait(&watch->state, PARKED, UINT64_MAX);
    while (state_of(watch) == RUNNING) {
        uint64_t now = moat_os_clock();
        look(watch, &level);
        if (state_of(watch) != RUNNING)
            break;
        /* Events may come faster than there is anything new to see. */
        (void)moat_os_wait(&watch->state, RUNNING, now + PAUSE_NS);
        bool rarely = level != MOAT_MEMORY_LOW && moat_os_pressure_tells(&watch->source);
        moat_os_pressure_wait(&watch->source, &watch->state, RUNNING,
                              now + (rarely ? RARELY_NS : SECOND_NS));
    }
    if (watch->alone) {
        moat_os_worker_detach();
        finish(watch);
    }
    return NULL;
}

/* Tell the thread to stop. Answers what it was told before. */
static uint32_t stop(struct moat_watcher *watch) {
    /* R(state) A(state) */
    return atomic_exchange_explicit(&watch->state, STOPPED, memory_order_acq_rel);
}

/* End a watch that was taken out of its manager. */
static void end(struct moat_watcher *watch) {
    if (!watch)
        return;
    if (watch->process != moat_os_process()) {
        finish(watch);
        return;
    }
    /* relaxed: equal only for the thread that wrote it. */
    if (atomic_load_explicit(&watch->runner, memory_order_relaxed) == moat_os_thread()) {
        watch->alone = true;
        (void)stop(watch);
        return;
    }
    /* One that never ran is still in the hands of whoever starts it, and may be gone at once. */
    if (stop(watch) == PARKED)
        return;
    moat_os_pressure_wake(&watch->source, &watch->state);
    moat_os_worker_join(watch->worker);
    finish(watch);
}

static enum moat_status no_thread(int error) {
    moat_error_set("pressure watch: no thread could be started (errno %d); check RLIMIT_NPROC "
                   "(ulimit -u), pids.max of the control group, and RLIMIT_AS",
                   error);
    return MOAT_NO_MEMORY;
}

enum moat_status moat_watcher_start(struct moat_manager *manager,
                                    void (*callback)(enum moat_memory_level level, void *context),
                                    void (*ended)(void *context), void *context) {
    struct moat_load load;
    uint64_t age_ns;

    enum moat_status status = moat_memory_figures(manager, false, &load, &age_ns);
    if (status)
        return status;
    struct moat_watcher *watch = moat_books_take(sizeof *watch);
    if (!watch) {
        moat_error_set("pressure watch: no memory for the books");
        return MOAT_NO_MEMORY;
    }
    watch->manager = manager;
    watch->callback = callback;
    watch->ended = ended;
    watch->context = context;
    watch->process = moat_os_process();
    moat_os_pressure_open(&watch->source);
    int error = moat_os_worker_start(STACK_SIZE, run, watch, &watch->worker);
    if (error) {
        moat_os_pressure_close(&watch->source);
        moat_books_give(watch, sizeof *watch);
        return no_thread(error);
    }
    /* R(watch) A(watch) */
    end(atomic_exchange_explicit(&manager->watch, watch, memory_order_acq_rel));
    /* The new one calls back only when the old one does no longer. */
    uint32_t parked = PARKED;
    /* R(state): unless it was ended already, which leaves the rest to be done here. */
    if (atomic_compare_exchange_strong_explicit(&watch->state, &parked, RUNNING,
                                                memory_order_release, memory_order_relaxed)) {
        moat_os_wake(&watch->state);
    } else {
        moat_os_wake(&watch->state);
        moat_os_worker_join(watch->worker);
        finish(watch);
    }
    return MOAT_OK;
}

enum moat_status moat_pressure_watch(struct moat_manager *manager,
                                     void (*callback)(enum moat_memory_level level, void *context),
                                     void *context) {
    if (!manager) {
        moat_error_set("pressure watch: manager is NULL");
        return MOAT_NO_ACCESS;
    }
    if (!callback) {
        moat_error_set("pressure watch: callback is NULL; a watch is ended by moat_pressure_stop");
        return MOAT_INVALID_ARGUMENT;
    }
    return moat_watcher_start(manager, callback, NULL, context);
}

void moat_pressure_stop(struct moat_manager *manager) {
    if (manager)
        /* R(watch) A(watch) */
        end(atomic_exchange_explicit(&manager->watch, NULL, memory_order_acq_rel));
}
