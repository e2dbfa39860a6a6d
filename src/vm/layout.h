/* SPDX-License-Identifier: MIT */
/*
 * layout: what tools that look at a process or a core dump have to know of the books, as two lists
 * of names. Whoever changes what they describe changes nothing here, as long as the names are true;
 * who adds or removes one, or gives one another meaning, counts MOAT_LAYOUT_VERSION up.
 *
 * Beside the names is what they stand for, for layout.c; tools use the names alone.
 */
#ifndef MOAT_VM_LAYOUT_H
#define MOAT_VM_LAYOUT_H

#include <moat/inspect.h>

extern const struct moat_layout moat_layout;

/* Addresses, of the library's own data. */
#define MOAT_LAYOUT_EACH_ADDRESS(X)                                                                \
    X(phase, &moat_registry_phase)                                                                 \
    X(registry, &moat_registry_page)                                                               \
    X(arenas, &moat_arenas_lists)                                                                  \
    X(resting, &moat_resting_slots)                                                                \
    X(managers, &moat_managers_roster)                                                             \
    X(abort_text, &moat_abort_text)

#define MOAT_LAYOUT_FIELD(X, of, struct_of, field)                                                 \
    X(of##_##field, offsetof(struct struct_of, field))

#define MOAT_LAYOUT_EACH_NUMBER(X)                                                                 \
    X(page_bytes, MOAT_PAGE_BYTES)                                                                 \
    X(granule_bytes, MOAT_GRANULE)                                                                 \
    X(block_bytes, MOAT_BLOCK)                                                                     \
    X(phase_ready, MOAT_REGISTRY_READY)                                                            \
    MOAT_LAYOUT_FIELD(X, registry, moat_registry, pool)                                            \
    MOAT_LAYOUT_FIELD(X, registry, moat_registry, records)                                         \
    MOAT_LAYOUT_FIELD(X, registry, moat_registry, births)                                          \
    MOAT_LAYOUT_FIELD(X, registry, moat_registry, history)                                         \
    MOAT_LAYOUT_FIELD(X, registry, moat_registry, capacity)                                        \
    MOAT_LAYOUT_FIELD(X, registry, moat_registry, check_key)                                       \
    MOAT_LAYOUT_FIELD(X, pool, moat_record_pool, dealt)                                            \
    X(record_bytes, sizeof(struct moat_region))                                                    \
    MOAT_LAYOUT_FIELD(X, record, moat_region, life)                                                \
    MOAT_LAYOUT_FIELD(X, record, moat_region, base)                                                \
    MOAT_LAYOUT_FIELD(X, record, moat_region, size)                                                \
    MOAT_LAYOUT_FIELD(X, record, moat_region, space)                                               \
    MOAT_LAYOUT_FIELD(X, record, moat_region, owner)                                               \
    MOAT_LAYOUT_FIELD(X, record, moat_region, protection)                                          \
    MOAT_LAYOUT_FIELD(X, record, moat_region, link)                                                \
    MOAT_LAYOUT_FIELD(X, record, moat_region, span_start)                                          \
    MOAT_LAYOUT_FIELD(X, record, moat_region, span_end)                                            \
    X(birth_bytes, sizeof(struct moat_birth))                                                      \
    MOAT_LAYOUT_FIELD(X, birth, moat_birth, when)                                                  \
    MOAT_LAYOUT_FIELD(X, birth, moat_birth, site)                                                  \
    X(space_bytes, sizeof(struct moat_space))                                                      \
    MOAT_LAYOUT_FIELD(X, space, moat_space, start)                                                 \
    MOAT_LAYOUT_FIELD(X, space, moat_space, end)                                                   \
    MOAT_LAYOUT_FIELD(X, space, moat_space, usable_start)                                          \
    MOAT_LAYOUT_FIELD(X, space, moat_space, usable_end)                                            \
    MOAT_LAYOUT_FIELD(X, space, moat_space, block_count)                                           \
    MOAT_LAYOUT_FIELD(X, space, moat_space, arena)                                                 \
    MOAT_LAYOUT_FIELD(X, space, moat_space, presence)                                              \
    MOAT_LAYOUT_FIELD(X, space, moat_space, claims)                                                \
    MOAT_LAYOUT_FIELD(X, space, moat_space, first_block)                                           \
    MOAT_LAYOUT_FIELD(X, space, moat_space, uniform)                                               \
    MOAT_LAYOUT_FIELD(X, space, moat_space, pages)                                                 \
    X(arena_slots, MOAT_KINDS_MAX *MOAT_ARENAS_MAX)                                                \
    X(resting_slots, MOAT_RESTING_SLOTS)                                                           \
    X(roster_next, offsetof(struct moat_roster, next))                                             \
    X(roster_slots, offsetof(struct moat_roster, slots))                                           \
    X(roster_slot_count, MOAT_ROSTER_SLOTS)                                                        \
    X(manager_layout, offsetof(struct moat_manager, layout))                                       \
    X(graves, offsetof(struct moat_graves, graves))                                                \
    X(grave_bytes, sizeof(struct moat_grave))                                                      \
    X(grave_count, MOAT_GRAVE_SHARDS *MOAT_GRAVES)                                                 \
    X(grave_words, offsetof(struct moat_grave, words))                                             \
    X(moment_thread_bits, MOAT_MOMENT_THREAD_BITS)                                                 \
    X(moment_time_shift, MOAT_MOMENT_TIME_SHIFT)

#endif
