/* SPDX-License-Identifier: MIT */
/* quota: one word a manager, swapped; a refused request leaves no trace in it. */
#include "vm/quota.h"

#include "base/error_text.h"

static _Thread_local enum moat_critical_level thread_level;

enum moat_critical_level moat_set_critical_level(enum moat_critical_level level) {
    enum moat_critical_level before = thread_level;
    thread_level = (unsigned)level <= MOAT_PROCESS_CRITICAL ? level : MOAT_TASK_CRITICAL;
    return before;
}

static uint64_t limit_of(const struct moat_options *options, enum moat_critical_level level) {
    if (level == MOAT_PROCESS_CRITICAL)
        return options->quota_bytes;
    return options->quota_bytes -
           (level == MOAT_TASK_CRITICAL ? options->reserve_bytes : options->reserve_bytes / 2);
}

static enum moat_status refuse(struct moat_manager *manager, size_t bytes, uint64_t charged,
                               const char *what, uintptr_t address) {
    static const char *const names[] = {"task", "appdomain", "process"};

    moat_manager_count(manager, MOAT_COUNT_QUOTA_REFUSALS, 1);
    moat_error_set("%s at %#lx: %zu bytes more would exceed the quota: %lu of %lu bytes are "
                   "committed, %lu of them open to %s-critical requests",
                   what, (unsigned long)address, bytes, (unsigned long)charged,
                   (unsigned long)manager->options.quota_bytes,
                   (unsigned long)limit_of(&manager->options, thread_level), names[thread_level]);
    return MOAT_COMMIT_LIMIT;
}

enum moat_status moat_quota_charge(struct moat_manager *manager, size_t bytes, const char *what,
                                   uintptr_t address) {
    uint64_t limit = limit_of(&manager->options, thread_level);
    /* relaxed: only the number matters, as everywhere here. */
    uint64_t charged = atomic_load_explicit(&manager->charged, memory_order_relaxed);

    /* Others, or this thread when it was more critical, may have charged beyond the limit. */
    if (bytes == 0)
        return MOAT_OK;
    do {
        if (charged > limit || bytes > limit - charged)
            return refuse(manager, bytes, charged, what, address);
        /* relaxed: as above. */
    } while (!atomic_compare_exchange_weak_explicit(&manager->charged, &charged, charged + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return MOAT_OK;
}

void moat_quota_refund(struct moat_manager *manager, size_t bytes) {
    /* relaxed: as above. */
    atomic_fetch_sub_explicit(&manager->charged, bytes, memory_order_relaxed);
}

bool moat_quota_level(const struct moat_manager *manager, uint64_t *limit, uint64_t *used) {
    *limit = manager->options.quota_bytes;
    /* relaxed: as above. */
    *used = atomic_load_explicit(&manager->charged, memory_order_relaxed);
    return moat_quota_exists(manager);
}
