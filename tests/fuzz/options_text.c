/* SPDX-License-Identifier: MIT */
/*
 * options_text: any text is read as another reader has it, which knows names, words and ranges from
 * <moat/options.h> alone. What is refused is named in the error text and changes nothing; what is
 * accepted comes back from printing and reading again; nothing is read or written beyond.
 *
 * An input is the room for the error in its first byte, and the text.
 */
#include "support/plant.h"
#include "support/verify.h"

#include <moat/moat.h>
#include <moat/options.h>

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *const plant_names[] = {"trailing-letter", "hex-in-capitals",  "last-word-first",
                                   "one-too-many",    "unit-of-thousand", NULL};

enum { TEXT_SIZE = 4096 };

#define MILLION      1000000
#define FIELD(field) offsetof(struct moat_options, field), sizeof(((struct moat_options *)0)->field)

/* What the header promises of each field, in its order. */
static const struct option {
    const char *name;
    size_t offset, size;
    const char *words; /* as the header has them; NULL: a number */
    uint64_t greatest;
    bool bytes; /* may end with K, M, G or T; a mask of nodes may as well */
} options[] = {
    {"trap", FIELD(trap), "auto|markers|protect", 0, false},
    {"backend", FIELD(backend), "os|mimalloc", 0, false},
    {"report", FIELD(report), "stderr|off", 0, false},
    {"timeout", FIELD(timeout_ms), NULL, UINT32_MAX, false},
    {"quarantine", FIELD(quarantine_regions), NULL, 4096, false},
    {"poison", FIELD(poison), NULL, UINT8_MAX, false},
    {"quota", FIELD(quota_bytes), NULL, UINT64_MAX, true},
    {"reserve", FIELD(reserve_bytes), NULL, UINT64_MAX, true},
    {"watch", FIELD(watch), "auto|kernel|fault", 0, false},
    {"leaks", FIELD(leaks), "silent|report", 0, false},
    {"quarantine_bytes", FIELD(quarantine_bytes), NULL, UINT64_MAX, true},
    {"guard_before", FIELD(guard_before), NULL, 4096, false},
    {"guard_after", FIELD(guard_after), NULL, 4096, false},
    {"guard_random", FIELD(guard_random), NULL, 4096, false},
    {"placing", FIELD(placing), "random|packed", 0, false},
    {"zero", FIELD(zero), "reuse|release", 0, false},
    {"misuse", FIELD(misuse), "fail|report|abort", 0, false},
    {"on_corruption", FIELD(on_corruption), "latch|abort", 0, false},
    {"faults", FIELD(faults), "silent|report", 0, false},
    {"fork", FIELD(fork), "inherit|dontfork|wipe", 0, false},
    {"execute", FIELD(execute), "any|wx", 0, false},
    {"dump", FIELD(dump), "committed|none", 0, false},
    {"heap_poison", FIELD(heap_poison), "off|on", 0, false},
    {"commit", FIELD(commit), "lazy|populate|huge", 0, false},
    {"numa", FIELD(numa), "default|local|interleave|bind|preferred", 0, false},
    {"numa_nodes", FIELD(numa_nodes), NULL, UINT64_MAX, true},
    {"retain", FIELD(retain_bytes), NULL, UINT64_MAX, true},
    {"defer", FIELD(defer_regions), NULL, 4096, false},
    {"defer_bytes", FIELD(defer_bytes), NULL, UINT64_MAX, true},
    {"defer_ms", FIELD(defer_ms), NULL, UINT32_MAX, false},
    {"deny_reserve", FIELD(deny_reserve), NULL, MILLION, false},
    {"deny_commit", FIELD(deny_commit), NULL, MILLION, false},
    {"deny_protect", FIELD(deny_protect), NULL, MILLION, false},
    {"deny_heap", FIELD(deny_heap), NULL, MILLION, false},
    {"deny_grace", FIELD(deny_grace_ms), NULL, UINT32_MAX, false},
    {"deny_seed", FIELD(deny_seed), NULL, UINT32_MAX, false},
    {"stats", FIELD(stats), "off|json|openmetrics", 0, false},
};
enum { OPTIONS = sizeof(options) / sizeof(options[0]) };

/* --- The other reader --- */

static void put(struct moat_options *to, const struct option *option, uint64_t value) {
    uint8_t byte = (uint8_t)value;
    uint32_t word = (uint32_t)value;
    const void *from = option->size == 1   ? (void *)&byte
                       : option->size == 4 ? (void *)&word
                                           : &value;
    memcpy((char *)to + option->offset, from, option->size);
}

/* Which of "a|b|c" it is; -1: none. */
static int word_number(const char *words, const char *value) {
    size_t length = strlen(value);

    for (int number = 0; words; number++) {
        const char *end = strchr(words, '|');
        size_t size = end ? (size_t)(end - words) : strlen(words);
        if (size == length && memcmp(words, value, length) == 0)
            return number;
        words = end ? end + 1 : NULL;
    }
    return -1;
}

/* Digits of a radix, by long multiplication in 128 bits: at most `greatest`. */
static bool read_digits(const char *text, unsigned radix, uint64_t greatest, uint64_t *value) {
    static const char digits[] = "0123456789abcdef", capitals[] = "0123456789ABCDEF";
    __extension__ unsigned __int128 sum = 0;

    for (const char *at = text; *at; at++) {
        const char *digit = strchr(digits, *at);
        size_t number;
        if (!digit && !plant_is("hex-in-capitals"))
            digit = strchr(capitals, *at) ? digits + (strchr(capitals, *at) - capitals) : NULL;
        if (!digit)
            return plant_is("trailing-letter") && at > text && !at[1];
        number = (size_t)(digit - digits);
        if (number >= radix)
            return false;
        sum = sum * radix + number;
        if (sum > greatest)
            return false;
        *value = (uint64_t)sum;
    }
    return text[0] != '\0';
}

static bool read_number(const struct option *option, const char *value, uint64_t *number) {
    char text[TEXT_SIZE];
    size_t length = strlen(value);
    uint64_t unit = 1;
    bool hexadecimal;

    memcpy(text, value, length + 1);
    if (option->bytes && length > 1 && strchr("KMGT", text[length - 1])) {
        static const char units[] = "KMGT";
        for (const char *at = units; *at; at++) {
            unit *= plant_is("unit-of-thousand") ? 1000 : 1024;
            if (*at == text[length - 1])
                break;
        }
        text[length - 1] = '\0';
    }
    hexadecimal = strlen(text) > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    uint64_t greatest = option->greatest - (plant_is("one-too-many") && option->greatest == 4096);
    if (!read_digits(text + (hexadecimal ? 2 : 0), hexadecimal ? 16 : 10, greatest / unit, number))
        return false;
    *number *= unit;
    return true;
}

static const struct option *find(const char *name) {
    for (size_t i = 0; i < OPTIONS; i++)
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
    return NULL;
}

/* One word. False, and how the error has to begin. */
static bool read_word(const char *word, struct moat_options *to, char *wrong) {
    char name[TEXT_SIZE];
    const char *equals = strchr(word, '=');
    uint64_t value = 0;
    int number;

    if (!equals) {
        snprintf(wrong, TEXT_SIZE, "\"%.40s\" is not name=value", word);
        return false;
    }
    memcpy(name, word, (size_t)(equals - word));
    name[equals - word] = '\0';
    const struct option *option = find(name);
    if (!option) {
        snprintf(wrong, TEXT_SIZE, "unknown option \"%.40s\"; nearest is \"", name);
        return false;
    }
    number = option->words ? word_number(option->words, equals + 1) : -1;
    if (option->words ? number < 0 : !read_number(option, equals + 1, &value)) {
        snprintf(wrong, TEXT_SIZE, "option \"%.40s\" cannot be \"%.40s\": it is ", name,
                 equals + 1);
        return false;
    }
    put(to, option, option->words ? (uint64_t)number : value);
    return true;
}

static bool read_text(const char *text, struct moat_options *to, char *wrong) {
    char word[TEXT_SIZE];
    struct moat_options next = *to;

    while (*text) {
        const char *comma = strchr(text, ',');
        size_t length = comma ? (size_t)(comma - text) : strlen(text);
        memcpy(word, text, length);
        word[length] = '\0';
        if (!read_word(word, &next, wrong))
            return false;
        if (plant_is("last-word-first"))
            break;
        text += length;
        if (comma && *++text == '\0') { /* the word behind the last comma is empty */
            snprintf(wrong, TEXT_SIZE, "\"\" is not name=value");
            return false;
        }
    }
    *to = next;
    return true;
}

/* --- What is compared --- */

static void begin(struct moat_options *to) {
    static const struct {
        const char *name;
        uint64_t value;
    } initial[] = {{"timeout", 10000},   {"quarantine", 64},        {"quarantine_bytes", 64 << 20},
                   {"poison", 0xDB},     {"guard_before", 1},       {"guard_after", 1},
                   {"retain", 64 << 20}, {"defer_bytes", 16 << 20}, {"defer_ms", 10}};

    memset(to, 0, sizeof(*to));
    to->struct_size = sizeof(*to);
    for (size_t i = 0; i < sizeof(initial) / sizeof(initial[0]); i++)
        put(to, find(initial[i].name), initial[i].value);
}

/* All but print stands as a question mark in what is quoted; such bytes are alike. */
static void clean(char *text) {
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            *text = '?';
}

static void check_error(const char *text, const char *error, size_t room, char *wrong) {
    const char *told = moat_last_error_text();

    clean(wrong);
    if (strncmp(told, wrong, strlen(wrong)) != 0)
        verify_fail("\"%s\" is refused with \"%s\", not with \"%s\"", text, told, wrong);
    if (room && (strlen(error) >= room || strncmp(error, told, strlen(error)) != 0 ||
                 (strlen(error) < room - 1 && strcmp(error, told) != 0)))
        verify_fail("\"%s\": the error is \"%s\", in room for %zu", told, error, room);
}

/* Print, into less room as well, and read again. */
static void check_round(const struct moat_options *now, size_t room) {
    char text[TEXT_SIZE], again[TEXT_SIZE];
    struct moat_options other;
    size_t length = moat_options_print(now, text, sizeof(text));
    char *cut = malloc(room ? room : 1);

    if (!cut)
        abort();
    if (length != strlen(text) || moat_options_print(now, room ? cut : NULL, room) != length ||
        (room && (strlen(cut) != (length < room ? length : room - 1) ||
                  strncmp(cut, text, strlen(cut)) != 0)))
        verify_fail("printed in room for %zu: \"%s\", which is a part of \"%s\"", room,
                    room ? cut : "", text);
    free(cut);
    moat_options_init(&other);
    if (moat_options_parse(&other, text, NULL, 0) || memcmp(&other, now, sizeof(other)) != 0)
        verify_fail("\"%s\" is not read as what was printed: %s", text, moat_last_error_text());
    if (moat_options_print(&other, again, sizeof(again)) != length || strcmp(again, text) != 0)
        verify_fail("\"%s\" is printed as \"%s\"", text, again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct moat_options is, should;
    char wrong[TEXT_SIZE] = "";
    size_t room = size ? data[0] : 0;

    if (size == 0 || size >= TEXT_SIZE / 2)
        return 0;
    /* Blocks of their own, so that a byte too far is seen. */
    char *text = malloc(size), *error = malloc(room ? room : 1);
    if (!text || !error)
        abort();
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    moat_options_init(&is);
    begin(&should);
    if (memcmp(&is, &should, sizeof(is)) != 0)
        verify_fail("the defaults are not those of the header");
    bool good = read_text(text, &should, wrong);
    enum moat_status status = moat_options_parse(&is, text, error, room);
    if (status != (good ? MOAT_OK : MOAT_INVALID_ARGUMENT))
        verify_fail(
            "\"%s\" is answered with %s: %s%s", text, moat_status_describe(status)->name,
            good ? "" : "it should not begin with: ", good ? moat_last_error_text() : wrong);
    if (memcmp(&is, &should, sizeof(is)) != 0)
        verify_fail("\"%s\" is read as other values", text);
    if (status)
        check_error(text, error, room, wrong);
    else if (room && error[0] != '\0')
        verify_fail("\"%s\" is accepted with the error \"%s\"", text, error);
    check_round(&is, room);
    free(error);
    free(text);
    return 0;
}
