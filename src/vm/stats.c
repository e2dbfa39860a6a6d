/* SPDX-License-Identifier: MIT */
/*
 * stats: from counters to text.
 *
 * OpenMetrics wants the samples of one metric side by side, so there metrics are the outer loop and
 * managers the inner one; in JSON it is the other way round. One table has the names of both.
 */
#include "vm/stats.h"

#include "base/format.h"
#include "os/os.h"
#include "region/arena.h"
#include "region/arenas.h"
#include "region/books.h"
#include "region/retain_budget.h"
#include "vm/fork.h"

#include <moat/stats.h>

#include <stdlib.h>

#define TEXT_OF(number)              #number
#define VERSION(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

enum kind { GAUGE, COUNTER };
enum unit { NUMBER, BYTES };

struct metric {
    const char *name; /* behind "moat_"; that of bytes ends with "_bytes" */
    enum kind kind;
    enum unit unit;
    size_t offset; /* of a uint64_t in what is sampled */
    const char *help;
};

/* What is told of a manager, and of the process. */
struct sample {
    struct moat_stats stats;
    uint64_t quota;
};

struct process {
    uint64_t retained;
    uint64_t arenas;
    uint64_t books;
    uint64_t lost;
    uint64_t unsealed;
};

#define STAT(field)    offsetof(struct sample, stats.field)
#define PROCESS(field) offsetof(struct process, field)

/* clang-format off */
static const struct metric of_manager[] = {
    {"regions", GAUGE, NUMBER, STAT(regions_live),
     "Live regions; each part of a placeholder is one."},
    {"reserved_bytes", GAUGE, BYTES, STAT(bytes_reserved),
     "Address space of live regions, without guards."},
    {"committed_bytes", GAUGE, BYTES, STAT(bytes_committed),
     "Accessible memory of live regions; what a quota bounds."},
    {"quota_bytes", GAUGE, BYTES, offsetof(struct sample, quota),
     "What may be committed at once; 0: no quota."},
    {"adopted_regions", GAUGE, NUMBER, STAT(adopted_regions),
     "Ranges that others mapped and Moat was told of."},
    {"adopted_bytes", GAUGE, BYTES, STAT(adopted_bytes),
     "Address space of adopted ranges."},
    {"resting_regions", GAUGE, NUMBER, STAT(resting_regions),
     "Released regions whose addresses rest."},
    {"resting_bytes", GAUGE, BYTES, STAT(resting_bytes),
     "Address space that rests after a release."},
    {"deferred_regions", GAUGE, NUMBER, STAT(deferred_regions),
     "Released regions that do not trap yet, by option."},
    {"deferred_bytes", GAUGE, BYTES, STAT(deferred_bytes),
     "Memory of those; committed_bytes has it too."},
    {"reserves", COUNTER, NUMBER, STAT(reserves), "Regions there ever were."},
    {"commits", COUNTER, NUMBER, STAT(commits), "Commits that succeeded."},
    {"decommits", COUNTER, NUMBER, STAT(decommits), "Decommits that succeeded."},
    {"releases", COUNTER, NUMBER, STAT(releases), "Regions that ended."},
    {"refused", COUNTER, NUMBER, STAT(refused),
     "Frees and decommits of memory that was not ours: each is a bug of the program."},
    {"poison_damage", COUNTER, NUMBER, STAT(poison_damage),
     "Pages written after a decommit, and blocks after a free: each is a bug of the program."},
    {"locks_abandoned", COUNTER, NUMBER, STAT(locks_abandoned),
     "Region locks whose holder ended without giving them back."},
    {"quota_refusals", COUNTER, NUMBER, STAT(quota_refusals), "Commits that the quota refused."},
    {"denied", COUNTER, NUMBER, STAT(denied), "Calls that the options deny_* had fail."},
    {"guards_yielded", COUNTER, NUMBER, STAT(guards_yielded),
     "Guards given up to a reservation at exactly that address."},
    {"guard_failures", COUNTER, NUMBER, STAT(guard_failures),
     "Traps that the kernel refused, each answered by the next rung."},
    {"deferred_flushes", COUNTER, NUMBER, STAT(deferred_flushes),
     "Times that deferred regions were made to trap together."},
    {"backend_fallbacks", COUNTER, NUMBER, STAT(backend_fallbacks),
     "Reservations that the mimalloc backend handed to the kernel."},
    {"unzeroed_bytes", COUNTER, BYTES, STAT(unzeroed_bytes),
     "Given back under zero=release without being zeroed at once; they trap."},
    {"stranded_bytes", COUNTER, BYTES, STAT(stranded_bytes),
     "Released address space that could not be made reusable."},
};

static const struct metric of_process[] = {
    {"retained_bytes", GAUGE, BYTES, PROCESS(retained),
     "Released memory that is kept out of reach for regions to come."},
    {"arena_bytes", GAUGE, BYTES, PROCESS(arenas),
     "Address space of the arenas, which regions share."},
    {"book_bytes", GAUGE, BYTES, PROCESS(books),
     "Address space of the books of Moat; little of it is ever touched."},
    {"lost_bytes", COUNTER, BYTES, PROCESS(lost),
     "Address space that the kernel would not unmap."},
    {"books_unsealed", GAUGE, NUMBER, PROCESS(unsealed),
     "Ranges of the books that the kernel would not seal, or not make read-only."},
};
/* clang-format on */

enum {
    OF_MANAGER = sizeof(of_manager) / sizeof(of_manager[0]),
    OF_PROCESS = sizeof(of_process) / sizeof(of_process[0]),
};

/* A text that is being written, and whose counters it has. */
struct text {
    char *start;
    size_t size;
    size_t length;                    /* of the whole text, what was cut included */
    const struct moat_manager *alone; /* NULL: those of all managers */
};

static void add(struct text *text, const char *format, ...) MOAT_PRINTF(2, 3);

static void add(struct text *text, const char *format, ...) {
    bool full = text->length >= text->size;
    va_list arguments;

    va_start(arguments, format);
    text->length += moat_format_list(full ? NULL : text->start + text->length,
                                     full ? 0 : text->size - text->length, format, arguments);
    va_end(arguments);
}

/* The manager with a number, if it is to be told of. */
static const struct moat_manager *wanted(const struct text *text, size_t number, bool *more) {
    struct moat_manager *manager = NULL;

    *more = moat_managers_nth(number, &manager);
    return !text->alone || manager == text->alone ? manager : NULL;
}

static void take_sample(const struct moat_manager *manager, struct sample *sample) {
    *sample = (struct sample){.quota = moat_manager_options(manager)->quota_bytes};
    if (moat_stats_read(manager, &sample->stats) == MOAT_OK)
        sample->stats.stranded_bytes -= moat_os_lost(); /* the process's, and told as such */
}

static uint64_t arena_bytes(void) {
    struct moat_space *arena;
    uint64_t sum = 0;

    for (size_t nth = 0; moat_arena_nth(nth, &arena); nth++)
        sum += moat_arenas_here(arena) ? arena->end - arena->start : 0;
    return sum;
}

static struct process look_at_process(void) {
    return (struct process){
        .retained = moat_retained_bytes(),
        .arenas = arena_bytes(),
        .books = moat_books_extent(),
        .lost = moat_os_lost(),
        .unsealed = moat_books_unsealed(),
    };
}

static unsigned long long value_of(const struct metric *metric, const void *sample) {
    return *(const uint64_t *)(const void *)((const char *)sample + metric->offset);
}

/* --- OpenMetrics --- */

static void add_head(struct text *text, const struct metric *metric) {
    add(text, "# TYPE moat_%s %s\n", metric->name, metric->kind == GAUGE ? "gauge" : "counter");
    if (metric->unit == BYTES)
        add(text, "# UNIT moat_%s bytes\n", metric->name);
    add(text, "# HELP moat_%s %s\n", metric->name, metric->help);
}

static const char *suffix_of(const struct metric *metric) {
    return metric->kind == COUNTER ? "_total" : "";
}

static void add_openmetrics(struct text *text) {
    const struct process process = look_at_process();
    const struct moat_manager *manager;
    struct sample sample;

    add(text,
        "# TYPE moat info\n# HELP moat The build of Moat.\n"
        "moat_info{version=\"%s\",page_bytes=\"%u\"} 1\n",
        VERSION(MOAT_VERSION_MAJOR, MOAT_VERSION_MINOR, MOAT_VERSION_PATCH),
        (unsigned)MOAT_PAGE_SIZE);
    for (unsigned i = 0; i < OF_PROCESS; i++) {
        add_head(text, &of_process[i]);
        add(text, "moat_%s%s %llu\n", of_process[i].name, suffix_of(&of_process[i]),
            value_of(&of_process[i], &process));
    }
    for (unsigned i = 0; i < OF_MANAGER; i++) {
        bool more = true;
        add_head(text, &of_manager[i]);
        for (size_t number = 0; more; number++) {
            if ((manager = wanted(text, number, &more)) == NULL)
                continue;
            take_sample(manager, &sample);
            add(text, "moat_%s%s{manager=\"%zu\"} %llu\n", of_manager[i].name,
                suffix_of(&of_manager[i]), number, value_of(&of_manager[i], &sample));
        }
    }
    add(text, "# EOF\n");
}

/* --- JSON --- */

static void add_json_manager(struct text *text, size_t number, const struct moat_manager *manager) {
    struct sample sample;

    take_sample(manager, &sample);
    add(text, "{\"manager\":%zu", number);
    for (unsigned i = 0; i < OF_MANAGER; i++)
        add(text, ",\"%s\":%llu", of_manager[i].name, value_of(&of_manager[i], &sample));
    add(text, "}");
}

static void add_json(struct text *text) {
    const struct process process = look_at_process();
    const struct moat_manager *manager;
    bool more = true, first = true;

    add(text, "{\"version\":\"%s\",\"page_bytes\":%u",
        VERSION(MOAT_VERSION_MAJOR, MOAT_VERSION_MINOR, MOAT_VERSION_PATCH),
        (unsigned)MOAT_PAGE_SIZE);
    for (unsigned i = 0; i < OF_PROCESS; i++)
        add(text, ",\"%s\":%llu", of_process[i].name, value_of(&of_process[i], &process));
    add(text, ",\"managers\":[");
    for (size_t number = 0; more; number++) {
        if ((manager = wanted(text, number, &more)) == NULL)
            continue;
        add(text, first ? "\n" : ",\n");
        first = false;
        add_json_manager(text, number, manager);
    }
    add(text, "]}\n");
}

size_t moat_stats_print(const struct moat_manager *manager, enum moat_stats_form form, char *text,
                        size_t size) {
    struct text whole = {.start = text, .size = size, .alone = manager};

    if (size > 0)
        text[0] = '\0';
    if (form == MOAT_STATS_JSON)
        add_json(&whole);
    else if (form == MOAT_STATS_OPENMETRICS)
        add_openmetrics(&whole);
    return whole.length;
}

/* --- At the end --- */

/* In memory of the books: the program's heap may be what is in trouble. */
static void write_out(const struct moat_manager *manager, enum moat_stats_form form) {
    size_t room = moat_stats_print(manager, form, NULL, 0) + MOAT_PAGE; /* numbers may grow */
    char *text = moat_books_take(room);

    if (!text)
        return;
    size_t length = moat_stats_print(manager, form, text, room);
    moat_os_complain(text, length < room ? length : room - 1);
    moat_books_give(text, room);
}

void moat_stats_tell(const struct moat_manager *manager) {
    if (manager->options.stats != MOAT_STATS_OFF)
        write_out(manager, manager->options.stats);
}

/* The form is that of the first manager that wants any. */
static void tell_at_exit(void) {
    struct moat_manager *manager;

    for (size_t number = 0; moat_managers_nth(number, &manager); number++)
        if (manager && manager->options.stats != MOAT_STATS_OFF) {
            write_out(NULL, manager->options.stats);
            return;
        }
}

void moat_stats_follow(const struct moat_manager *manager) {
    static _Atomic bool followed;

    if (manager->options.stats == MOAT_STATS_OFF)
        return;
    /* relaxed: of many threads one registers. Where there is no room for that, nothing is told. */
    if (!atomic_exchange_explicit(&followed, true, memory_order_relaxed))
        (void)atexit(tell_at_exit);
}
