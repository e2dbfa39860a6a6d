/* SPDX-License-Identifier: MIT */
/*
 * layout: the search for the struct by its magic, among what files were mapped for, and whether
 * this program knows what is in it.
 */
#include "layout.h"

#include <moat/moat.h>

#include <stdlib.h>
#include <string.h>

#define STEP      ((uint64_t)1 << 20)
#define ALIGNMENT 16u
#define SLOTS_MAX 65536u

#define WORD(name, value) #name " "
static const char own_names[] = MOAT_LAYOUT_EACH_ADDRESS(WORD) ";" MOAT_LAYOUT_EACH_NUMBER(WORD);

_Static_assert(sizeof(void *) == sizeof(uint64_t), "the struct is read as it is");

/* Whether fields of a struct, numbers that follow its size, lie in it. */
static bool are_within(const uint32_t *numbers, unsigned size, unsigned last, uint32_t most) {
    bool are = numbers[size] >= sizeof(uint64_t) && numbers[size] <= most;

    for (unsigned field = size + 1; field <= last; field++)
        are = are && numbers[field] <= numbers[size] - sizeof(uint64_t);
    return are;
}

/* Whether numbers may be what their names say: this program counts and divides by them, and what
 * is looked at may have been overwritten. */
static bool are_possible(const uint32_t *numbers) {
    uint32_t page = numbers[OF_page_bytes];

    return (page == 4096 || page == 16384 || page == 65536) && numbers[OF_granule_bytes] == 65536 &&
           numbers[OF_block_bytes] == 2 << 20 &&
           are_within(numbers, OF_record_bytes, OF_record_span_end, LAYOUT_RECORD_MAX) &&
           are_within(numbers, OF_birth_bytes, OF_birth_site, LAYOUT_BIRTH_MAX) &&
           are_within(numbers, OF_space_bytes, OF_space_pages, LAYOUT_SPACE_MAX) &&
           numbers[OF_arena_slots] <= SLOTS_MAX && numbers[OF_resting_slots] <= SLOTS_MAX &&
           numbers[OF_roster_slot_count] - 1 < SLOTS_MAX && numbers[OF_moment_thread_bits] < 64 &&
           numbers[OF_moment_time_shift] < 64;
}

/* Whether this very version of the struct is there, with the same names. */
static bool is_known(const struct moat_layout *found) {
    return found->version == MOAT_LAYOUT_VERSION && found->size == sizeof *found &&
           memcmp(found->names, own_names, sizeof own_names) == 0 && are_possible(found->numbers);
}

static enum ending refuse(const struct target *target, const struct moat_layout *found) {
    char library[sizeof found->library + 1] = "";

    memcpy(library, found->library, sizeof found->library);
    for (char *at = library; *at; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
    complain("%s: its books are laid out in another way (version %u, of Moat %s) than this program "
             "knows (version %u, of Moat %d.%d.%d); use the moat-inspect that came with that Moat",
             target->name, found->version, library, MOAT_LAYOUT_VERSION, MOAT_VERSION_MAJOR,
             MOAT_VERSION_MINOR, MOAT_VERSION_PATCH);
    return OTHER_VERSION;
}

static void keep(struct layout *layout, const struct moat_layout *found) {
    memcpy(layout->library, found->library, sizeof layout->library);
    layout->library[sizeof layout->library - 1] = '\0';
    layout->self = (uintptr_t)found->self;
    for (unsigned i = 0; i < AT_COUNT; i++)
        layout->addresses[i] = (uintptr_t)found->addresses[i];
    memcpy(layout->numbers, found->numbers, sizeof layout->numbers);
}

/* Whether that Moat has been started. */
static bool is_ready(const struct target *target, const struct layout *layout) {
    uint32_t phase = 0;
    return target_read(target, AT(layout, phase), &phase, sizeof phase) &&
           phase == OF(layout, phase_ready);
}

/* What the search has come upon. */
struct search {
    const struct target *target;
    struct layout *layout;
    struct moat_layout strange; /* one that is not known */
    unsigned copies, ready, others;
};

static void look_at(struct search *search, uint64_t address) {
    struct moat_layout found;
    struct layout layout = {.copies = 0};

    if (!target_read(search->target, address, &found, sizeof found) ||
        (uintptr_t)found.self != address)
        return;
    if (!is_known(&found)) {
        search->strange = found;
        search->others++;
        return;
    }
    search->copies++;
    keep(&layout, &found);
    bool ready = is_ready(search->target, &layout);
    if (search->copies == 1 || (ready && search->ready == 0))
        *search->layout = layout;
    search->ready += ready;
}

static void search_mapping(struct search *search, const struct mapping *mapping,
                           unsigned char *bytes) {
    for (uint64_t at = mapping->start; at < mapping->end; at += STEP) {
        uint64_t size = mapping->end - at < STEP ? mapping->end - at : STEP;
        if (!target_read(search->target, at, bytes, (size_t)size))
            return;
        for (size_t i = 0; i + ALIGNMENT <= size; i += ALIGNMENT)
            if (memcmp(bytes + i, MOAT_LAYOUT_MAGIC, ALIGNMENT) == 0)
                look_at(search, at + i);
    }
}

enum ending layout_find(const struct target *target, struct layout *layout) {
    struct search search = {.target = target, .layout = layout};
    unsigned char *bytes = need(NULL, STEP);

    for (size_t i = 0; i < target->mapping_count; i++)
        if (target->mappings[i].of_file && !target->mappings[i].executable)
            search_mapping(&search, &target->mappings[i], bytes);
    free(bytes);
    if (search.copies == 0 && search.others)
        return refuse(target, &search.strange);
    if (search.copies == 0) {
        complain("%s: no Moat is in it; link the program with libmoat (version 0.6 or later)%s",
                 target->name,
                 target->process ? ""
                                 : ", and have the dump hold the data of libraries: "
                                   "/proc/PID/coredump_filter, bit 0");
        return NO_MOAT;
    }
    layout->copies = search.copies;
    if (search.ready == 0) {
        complain("%s: Moat is in it, and no manager was made yet: there is nothing to show",
                 target->name);
        return NO_MOAT;
    }
    return SHOWN;
}
