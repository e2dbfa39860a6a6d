/* SPDX-License-Identifier: MIT */
/*
 * options: reading, checking and printing options from one table.
 *
 * A new option is one field in <moat/options.h> and one row here. Text comes from the environment:
 * it is quoted cut and without control characters, numbers have one spelling (digits, or 0x and
 * digits), and a name given twice counts the last time, so that a script can append.
 */
#include "base/options.h"

#include "base/error_text.h"
#include "base/format.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* How much of a wrong word is quoted, and compared to find the name that was meant. */
enum { QUOTE_MAX = 40 };

struct row {
    const char *name;
    const char *const *words; /* of the values 0, 1, ... ; NULL: the value is a number */
    size_t offset;            /* in struct moat_options */
    size_t size;              /* of the field: 1, 4, or 8 for a number of bytes */
    uint64_t maximum;
    uint64_t initial;
    bool hexadecimal; /* how it is printed */
};

static const char *const trap_words[] = {"auto", "markers", "protect", NULL};
static const char *const backend_words[] = {"os", "mimalloc", NULL};
static const char *const report_words[] = {"stderr", "off", NULL};
static const char *const watch_words[] = {"auto", "kernel", "fault", NULL};
static const char *const leaks_words[] = {"silent", "report", NULL};
static const char *const placing_words[] = {"random", "packed", NULL};
static const char *const zero_words[] = {"reuse", "release", NULL};
static const char *const misuse_words[] = {"fail", "report", "abort", NULL};
static const char *const on_corruption_words[] = {"latch", "abort", NULL};
static const char *const faults_words[] = {"silent", "report", NULL};
static const char *const fork_words[] = {"inherit", "dontfork", "wipe", NULL};
static const char *const execute_words[] = {"any", "wx", NULL};
static const char *const dump_words[] = {"committed", "none", NULL};
static const char *const heap_poison_words[] = {"off", "on", NULL};
static const char *const commit_words[] = {"lazy", "populate", "huge", NULL};
static const char *const numa_words[] = {"default", "local",     "interleave",
                                         "bind",    "preferred", NULL};
static const char *const stats_words[] = {"off", "json", "openmetrics", NULL};

#define MILLION 1000000

#define FIELD(field) offsetof(struct moat_options, field), sizeof(((struct moat_options *)0)->field)

/* clang-format off */
static const struct row rows[] = {
    {"trap",       trap_words,    FIELD(trap),               MOAT_TRAP_PROTECT,
     MOAT_TRAP_AUTO,     false},
    {"backend",    backend_words, FIELD(backend),            MOAT_BACKEND_MIMALLOC,
     MOAT_BACKEND_OS,    false},
    {"report",     report_words,  FIELD(report),             MOAT_REPORT_OFF,
     MOAT_REPORT_STDERR, false},
    {"timeout",    NULL,          FIELD(timeout_ms),         UINT32_MAX, 10000, false},
    {"quarantine", NULL,          FIELD(quarantine_regions), 4096,       64,    false},
    {"quarantine_bytes", NULL,    FIELD(quarantine_bytes),   UINT64_MAX, 64 << 20, false},
    {"poison",     NULL,          FIELD(poison),             UINT8_MAX,  0xDB,  true},
    {"quota",      NULL,          FIELD(quota_bytes),        UINT64_MAX, 0,     false},
    {"reserve",    NULL,          FIELD(reserve_bytes),      UINT64_MAX, 0,     false},
    {"watch",      watch_words,   FIELD(watch),              MOAT_WATCH_FAULT,
     MOAT_WATCH_AUTO,    false},
    {"leaks",      leaks_words,   FIELD(leaks),              MOAT_LEAKS_REPORT,
     MOAT_LEAKS_SILENT,  false},
    {"guard_before", NULL,        FIELD(guard_before),       4096,       1,     false},
    {"guard_after",  NULL,        FIELD(guard_after),        4096,       1,     false},
    {"guard_random", NULL,        FIELD(guard_random),       4096,       0,     false},
    {"placing",    placing_words, FIELD(placing),            MOAT_PLACING_PACKED,
     MOAT_PLACING_RANDOM, false},
    {"zero",       zero_words,    FIELD(zero),               MOAT_ZERO_RELEASE,
     MOAT_ZERO_REUSE,    false},
    {"misuse",     misuse_words,  FIELD(misuse),             MOAT_MISUSE_ABORT,
     MOAT_MISUSE_FAIL,   false},
    {"on_corruption", on_corruption_words, FIELD(on_corruption), MOAT_ON_CORRUPTION_ABORT,
     MOAT_ON_CORRUPTION_LATCH, false},
    {"faults",     faults_words,  FIELD(faults),             MOAT_FAULTS_REPORT,
     MOAT_FAULTS_SILENT, false},
    {"fork",       fork_words,    FIELD(fork),               MOAT_FORK_WIPE,
     MOAT_FORK_INHERIT,  false},
    {"execute",    execute_words, FIELD(execute),            MOAT_EXECUTE_WX,
     MOAT_EXECUTE_ANY,   false},
    {"dump",       dump_words,    FIELD(dump),               MOAT_DUMP_NONE,
     MOAT_DUMP_COMMITTED, false},
    {"heap_poison", heap_poison_words, FIELD(heap_poison), MOAT_HEAP_POISON_ON,
     MOAT_HEAP_POISON_OFF, false},
    {"commit",     commit_words,  FIELD(commit),             MOAT_COMMIT_HUGE,
     MOAT_COMMIT_LAZY,   false},
    {"numa",       numa_words,    FIELD(numa),               MOAT_NUMA_PREFERRED,
     MOAT_NUMA_DEFAULT,  false},
    {"numa_nodes", NULL,          FIELD(numa_nodes),         UINT64_MAX, 0,     true},
    {"retain",       NULL,        FIELD(retain_bytes),       UINT64_MAX, 64 << 20, false},
    {"defer",        NULL,        FIELD(defer_regions),      4096,       0,     false},
    {"defer_bytes",  NULL,        FIELD(defer_bytes),        UINT64_MAX, 16 << 20, false},
    {"defer_ms",     NULL,        FIELD(defer_ms),           UINT32_MAX, 10,    false},
    {"deny_reserve", NULL,        FIELD(deny_reserve),       MILLION,    0,     false},
    {"deny_commit",  NULL,        FIELD(deny_commit),        MILLION,    0,     false},
    {"deny_protect", NULL,        FIELD(deny_protect),       MILLION,    0,     false},
    {"deny_heap",    NULL,        FIELD(deny_heap),          MILLION,    0,     false},
    {"deny_grace",   NULL,        FIELD(deny_grace_ms),      UINT32_MAX, 0,     false},
    {"deny_seed",    NULL,        FIELD(deny_seed),          UINT32_MAX, 0,     false},
    {"stats",        stats_words, FIELD(stats),              MOAT_STATS_OPENMETRICS,
     MOAT_STATS_OFF,     false},
};
/* clang-format on */

enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

_Static_assert(sizeof(enum moat_trap) == sizeof(uint32_t), "fields are read as 1, 4 or 8 bytes");
_Static_assert(sizeof(enum moat_backend) == sizeof(uint32_t), "the same");
_Static_assert(sizeof(enum moat_report) == sizeof(uint32_t), "the same");
_Static_assert(sizeof(enum moat_watch) == sizeof(uint32_t), "the same");
_Static_assert(sizeof(enum moat_leaks) == sizeof(uint32_t), "the same");
_Static_assert(sizeof(enum moat_placing) == sizeof(uint32_t), "the same");
_Static_assert(sizeof(enum moat_zero) == sizeof(uint32_t), "the same");
_Static_assert(sizeof(enum moat_misuse) == sizeof(uint32_t), "the same");
_Static_assert(sizeof(enum moat_on_corruption) == sizeof(uint32_t), "the same");
_Static_assert(sizeof(enum moat_faults) == sizeof(uint32_t), "the same");
_Static_assert(sizeof(enum moat_fork) == sizeof(uint32_t), "the same");
_Static_assert(sizeof(enum moat_execute) == sizeof(uint32_t), "the same");
_Static_assert(sizeof(enum moat_dump) == sizeof(uint32_t), "the same");
_Static_assert(sizeof(enum moat_heap_poison) == sizeof(uint32_t), "the same");
_Static_assert(sizeof(enum moat_commit_policy) == sizeof(uint32_t), "the same");
_Static_assert(sizeof(enum moat_numa) == sizeof(uint32_t), "the same");
_Static_assert(sizeof(enum moat_stats_form) == sizeof(uint32_t), "the same");

/* A piece of the text that is parsed; not terminated. */
struct piece {
    const char *start;
    size_t length;
};

static uint64_t get(const struct moat_options *options, const struct row *row) {
    const char *field = (const char *)options + row->offset;
    uint32_t word;
    uint64_t value;
    if (row->size == sizeof(uint8_t))
        return *(const uint8_t *)field;
    if (row->size == sizeof value) {
        memcpy(&value, field, sizeof value);
        return value;
    }
    memcpy(&word, field, sizeof word);
    return word;
}

static void set(struct moat_options *options, const struct row *row, uint64_t value) {
    char *field = (char *)options + row->offset;
    uint32_t word = (uint32_t)value;
    if (row->size == sizeof(uint8_t))
        *(uint8_t *)field = (uint8_t)value;
    else if (row->size == sizeof value)
        memcpy(field, &value, sizeof value);
    else
        memcpy(field, &word, sizeof word);
}

void moat_options_init(struct moat_options *options) {
    memset(options, 0, sizeof *options);
    options->struct_size = sizeof *options;
    for (size_t i = 0; i < ROW_COUNT; i++)
        set(options, &rows[i], rows[i].initial);
}

static bool piece_is(struct piece piece, const char *word) {
    return strlen(word) == piece.length && memcmp(word, piece.start, piece.length) == 0;
}

/* Fit a piece for a message. */
static const char *quote(struct piece piece, char text[static QUOTE_MAX + 1]) {
    size_t length = piece.length < QUOTE_MAX ? piece.length : QUOTE_MAX;
    for (size_t i = 0; i < length; i++) {
        char character = piece.start[i];
        text[i] = (char)(character >= ' ' && character <= '~' ? character : '?');
    }
    text[length] = '\0';
    return text;
}

static size_t smallest(size_t a, size_t b, size_t c) {
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* How many letters must be changed, put in or taken out to make `word` of `text` (Levenshtein's
 * distance, one row at a time). */
static size_t distance(const char *text, const char *word) {
    size_t costs[QUOTE_MAX + 1];
    size_t length = strlen(text);
    for (size_t i = 0; i <= length; i++)
        costs[i] = i;
    for (size_t j = 0; word[j] != '\0'; j++) {
        size_t diagonal = costs[0];
        costs[0] = j + 1;
        for (size_t i = 0; i < length; i++) {
            size_t above = costs[i + 1];
            costs[i + 1] =
                smallest(above + 1, costs[i] + 1, diagonal + (text[i] == word[j] ? 0 : 1));
            diagonal = above;
        }
    }
    return costs[length];
}

/* Say that a name is unknown, which one was probably meant, and which there are. */
static void complain_name(struct piece name, char *error, size_t size) {
    char text[QUOTE_MAX + 1];
    const char *nearest = rows[0].name;
    quote(name, text);
    for (size_t i = 1; i < ROW_COUNT; i++)
        if (distance(text, rows[i].name) < distance(text, nearest))
            nearest = rows[i].name;
    size_t used =
        moat_format(error, size, "unknown option \"%s\"; nearest is \"%s\", of", text, nearest);
    for (size_t i = 0; i < ROW_COUNT && used < size; i++)
        used += moat_format(error + used, size - used, i == 0 ? " %s" : ", %s", rows[i].name);
}

static void complain_value(const struct row *row, struct piece value, char *error, size_t size) {
    char text[QUOTE_MAX + 1];
    size_t used = moat_format(error, size, "option \"%s\" cannot be \"%s\": it is ", row->name,
                              quote(value, text));
    if (used >= size)
        return;
    if (row->size == sizeof(uint64_t) && row->hexadecimal)
        moat_format(error + used, size - used, "a number with a bit for each node, 0x3 for two");
    else if (row->size == sizeof(uint64_t))
        moat_format(error + used, size - used, "a number of bytes, or one with K, M, G or T");
    else if (row->words == NULL)
        moat_format(error + used, size - used, "a number from 0 to %u", (unsigned)row->maximum);
    for (uint32_t i = 0; row->words != NULL && i <= row->maximum && used < size; i++)
        used += moat_format(error + used, size - used, i == 0 ? "%s" : " or %s", row->words[i]);
}

static int digit_of(char character) {
    if (character >= '0' && character <= '9')
        return character - '0';
    if (character >= 'a' && character <= 'f')
        return character - 'a' + 10;
    if (character >= 'A' && character <= 'F')
        return character - 'A' + 10;
    return 16;
}

/* What the last letter of a number of bytes stands for, as a shift; it is taken off the text. */
static unsigned parse_unit(struct piece *text) {
    static const char units[] = "KMGT";
    const char *unit = text->length > 1 ? strchr(units, text->start[text->length - 1]) : NULL;
    if (unit == NULL || *unit == '\0')
        return 0;
    text->length--;
    return 10 * (unsigned)(unit - units + 1);
}

static bool parse_number(struct piece text, uint64_t maximum, uint64_t *number) {
    uint64_t value = 0;
    uint64_t radix = 10;
    if (text.length > 2 && text.start[0] == '0' && (text.start[1] == 'x' || text.start[1] == 'X')) {
        radix = 16;
        text.start += 2;
        text.length -= 2;
    }
    for (size_t i = 0; i < text.length; i++) {
        uint64_t digit = (uint64_t)digit_of(text.start[i]);
        if (digit >= radix || value > (maximum - digit) / radix)
            return false;
        value = value * radix + digit;
    }
    *number = value;
    return text.length > 0;
}

static bool parse_value(const struct row *row, struct piece text, uint64_t *value) {
    if (row->words == NULL) {
        unsigned shift = row->size == sizeof *value ? parse_unit(&text) : 0;
        if (!parse_number(text, row->maximum >> shift, value))
            return false;
        *value <<= shift;
        return true;
    }
    for (uint32_t i = 0; i <= row->maximum; i++) {
        if (piece_is(text, row->words[i])) {
            *value = i;
            return true;
        }
    }
    return false;
}

/* One name=value. False with `error` set. */
static bool parse_word(struct moat_options *options, struct piece word, char *error, size_t size) {
    const char *equals = memchr(word.start, '=', word.length);
    char text[QUOTE_MAX + 1];
    if (equals == NULL) {
        moat_format(error, size, "\"%s\" is not name=value", quote(word, text));
        return false;
    }
    struct piece name = {word.start, (size_t)(equals - word.start)};
    struct piece rest = {equals + 1, word.length - name.length - 1};
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (!piece_is(name, rows[i].name))
            continue;
        uint64_t value;
        if (parse_value(&rows[i], rest, &value)) {
            set(options, &rows[i], value);
            return true;
        }
        complain_value(&rows[i], rest, error, size);
        return false;
    }
    complain_name(name, error, size);
    return false;
}

enum moat_status moat_options_parse(struct moat_options *options, const char *text, char *error,
                                    size_t error_size) {
    char sentence[MOAT_ERROR_TEXT_SIZE] = "";
    if (error != NULL && error_size > 0)
        error[0] = '\0';
    if (options == NULL) {
        moat_error_set("there is no set of options to change: the pointer is NULL");
        return MOAT_NO_ACCESS;
    }
    if (text == NULL || text[0] == '\0')
        return MOAT_OK;
    struct moat_options next = *options;
    for (const char *at = text;; at++) {
        struct piece word = {at, strcspn(at, ",")};
        if (!parse_word(&next, word, sentence, sizeof sentence)) {
            moat_error_set("%s", sentence);
            if (error != NULL)
                moat_format(error, error_size, "%s", sentence);
            return MOAT_INVALID_ARGUMENT;
        }
        at += word.length;
        if (*at == '\0')
            break;
    }
    *options = next;
    return MOAT_OK;
}

size_t moat_options_print(const struct moat_options *options, char *text, size_t size) {
    size_t used = 0;
    if (size > 0)
        text[0] = '\0';
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct row *row = &rows[i];
        uint64_t value = get(options, row);
        char *rest = used < size ? text + used : NULL;
        size_t room = used < size ? size - used : 0;
        const char *comma = i == 0 ? "" : ",";
        if (row->words == NULL)
            used += moat_format(rest, room, row->hexadecimal ? "%s%s=0x%02lX" : "%s%s=%lu", comma,
                                row->name, (unsigned long)value);
        else
            used += moat_format(rest, room, "%s%s=%s", comma, row->name,
                                value <= row->maximum ? row->words[value] : "?");
    }
    return used;
}

/* NULL: what is said of nodes goes together. */
static const char *find_numa_fault(const struct moat_options *options) {
    uint64_t nodes = options->numa_nodes;
    bool names = options->numa == MOAT_NUMA_BIND || options->numa == MOAT_NUMA_PREFERRED;

    if (options->numa != MOAT_NUMA_DEFAULT && options->backend == MOAT_BACKEND_MIMALLOC)
        return "mimalloc shares its memory out among all, so it needs backend=os";
    if (names && nodes == 0)
        return "it needs nodes";
    if (!names && options->numa != MOAT_NUMA_INTERLEAVE && nodes != 0)
        return "it has no nodes";
    if (options->numa == MOAT_NUMA_PREFERRED && (nodes & (nodes - 1)) != 0)
        return "it needs one node";
    return NULL;
}

enum moat_status moat_options_check(const struct moat_options *options) {
    if (options == NULL) {
        moat_error_set("there is no set of options: the pointer is NULL");
        return MOAT_NO_ACCESS;
    }
    if (options->struct_size != sizeof *options) {
        moat_error_set("struct_size of the options is %zu, not %zu: they were not made by "
                       "moat_options_init of this library",
                       options->struct_size, sizeof *options);
        return MOAT_INVALID_ARGUMENT;
    }
    for (size_t i = 0; i < ROW_COUNT; i++) {
        uint64_t value = get(options, &rows[i]);
        if (value > rows[i].maximum) {
            moat_error_set("option \"%s\" is %lu, its greatest value is %lu", rows[i].name,
                           (unsigned long)value, (unsigned long)rows[i].maximum);
            return MOAT_INVALID_ARGUMENT;
        }
    }
    if (options->guard_before == 0 || options->guard_after == 0) {
        moat_error_set("option \"guard_%s\" is 0, its least value is 1: a region has a page that "
                       "traps on either side",
                       options->guard_before == 0 ? "before" : "after");
        return MOAT_INVALID_ARGUMENT;
    }
    if (options->defer_ms == 0) {
        moat_error_set("option \"defer_ms\" is 0, its least value is 1: \"defer=0\" puts nothing "
                       "off");
        return MOAT_INVALID_ARGUMENT;
    }
    if (options->reserve_bytes > options->quota_bytes) {
        moat_error_set("option \"reserve\" is %lu bytes, which is more than the \"quota\" of %lu "
                       "that it is a part of",
                       (unsigned long)options->reserve_bytes, (unsigned long)options->quota_bytes);
        return MOAT_INVALID_ARGUMENT;
    }
    const char *fault = find_numa_fault(options);
    if (fault) {
        moat_error_set("option \"numa\" is %s: %s (numa_nodes=0x%lX)", numa_words[options->numa],
                       fault, (unsigned long)options->numa_nodes);
        return MOAT_INVALID_ARGUMENT;
    }
    if (options->fork != MOAT_FORK_INHERIT && options->backend == MOAT_BACKEND_MIMALLOC) {
        moat_error_set("option \"fork\" is %s, and mimalloc shares its memory out among all: that "
                       "needs backend=os",
                       fork_words[options->fork]);
        return MOAT_INVALID_ARGUMENT;
    }
    return MOAT_OK;
}
