/* SPDX-License-Identifier: MIT */
/*
 * timeline: choose calls, then draw a row for each thread and a line of text for each call.
 *
 * What may be left out: a call that changes nothing, if there is no order without it either. A call
 * that changes something has to stay, or the picture would show a failure that is another.
 */
#include "timeline.h"

#include <stdlib.h>
#include <string.h>

enum { EARLIER = 2, ROW = 16, STATES_SHOWN = 4 };

struct picture {
    const struct linear_spec *spec;
    struct linear_call call[LINEAR_SHOWN_MAX];
    size_t count;
};

static bool is_pure(const struct linear_spec *spec, const struct linear_call *call) {
    return call->end != LINEAR_NEVER && spec->is_pure && spec->is_pure(call);
}

static bool fails_without(const struct linear_spec *spec, const struct linear_call *call,
                          size_t count, uint64_t initial) {
    struct linear_verdict verdict;

    linear_check(spec, call, count, initial, &verdict);
    linear_verdict_free(&verdict);
    return !verdict.linearizable;
}

/* Take what changes nothing away, from the last call to the first, as long as it fails. */
static size_t reduce(const struct linear_spec *spec, struct linear_call *call, size_t count,
                     uint64_t initial, const struct linear_call *failed) {
    for (size_t i = count; i-- > 0;) {
        struct linear_call gone = call[i];

        if (gone.start == failed->start || !is_pure(spec, &gone) || gone.end < failed->start ||
            gone.start > failed->end)
            continue;
        memmove(&call[i], &call[i + 1], (count - i - 1) * sizeof *call);
        if (fails_without(spec, call, count - 1, initial)) {
            count--;
            continue;
        }
        memmove(&call[i + 1], &call[i], (count - i - 1) * sizeof *call);
        call[i] = gone;
    }
    return count;
}

static void choose(struct picture *picture, const struct linear_call *call, size_t count,
                   const struct linear_call *failed) {
    size_t first = count, earlier = 0;

    for (size_t i = count; i-- > 0;) {
        bool overlaps = call[i].start <= failed->end && call[i].end >= failed->start;
        bool before = call[i].end < failed->start && !is_pure(picture->spec, &call[i]);

        if (overlaps || (before && earlier++ < EARLIER))
            first = i;
    }
    earlier = 0;
    for (size_t i = count; i-- > first && picture->count < LINEAR_SHOWN_MAX;) {
        bool overlaps = call[i].start <= failed->end && call[i].end >= failed->start;
        bool before = call[i].end < failed->start && !is_pure(picture->spec, &call[i]);

        if (overlaps || (before && earlier++ < EARLIER))
            picture->call[picture->count++] = call[i];
    }
    for (size_t i = 0; i < picture->count / 2; i++) {
        struct linear_call other = picture->call[i];

        picture->call[i] = picture->call[picture->count - 1 - i];
        picture->call[picture->count - 1 - i] = other;
    }
}

/* How many of the events that are shown come before a stamp: its column. */
static size_t column_of(const struct picture *picture, uint64_t stamp) {
    size_t column = 0;

    for (size_t i = 0; i < picture->count; i++)
        column += (size_t)(picture->call[i].start < stamp) + (picture->call[i].end < stamp);
    return column;
}

static void draw_row(FILE *file, const struct picture *picture, unsigned thread, size_t width) {
    char row[2 * LINEAR_SHOWN_MAX * 4 + ROW];
    size_t length = 0;

    memset(row, ' ', sizeof row);
    for (size_t i = 0; i < picture->count; i++) {
        const struct linear_call *call = &picture->call[i];
        size_t start = column_of(picture, call->start) * width;
        size_t end = column_of(picture, call->end) * width;

        if (call->thread != thread)
            continue;
        memset(row + start, '=', end - start);
        row[start] = '[';
        row[start + 1] = (char)('a' + i);
        row[end] = call->end == LINEAR_NEVER ? '>' : ']';
        length = length > end + 1 ? length : end + 1;
    }
    if (length)
        fprintf(file, "    thread %u  %.*s\n", thread, (int)length, row);
}

static void print_states(FILE *file, const struct linear_spec *spec, const struct configs *states) {
    char text[LINEAR_TEXT_BYTES];

    for (size_t i = 0; i < states->count && i < STATES_SHOWN; i++) {
        spec->print_state(states->at[i].state, text);
        fprintf(file, "%s%s", i ? ", or " : "", text);
    }
    if (states->count > STATES_SHOWN)
        fprintf(file, ", or %zu more", states->count - STATES_SHOWN);
    fprintf(file, "\n");
}

static void draw(FILE *file, const struct picture *picture, uint64_t failed) {
    size_t width = picture->count > 10 ? 2 : 4;
    char text[LINEAR_TEXT_BYTES];

    for (unsigned thread = 0; thread < LINEAR_LOGS_MAX; thread++)
        draw_row(file, picture, thread, width);
    for (size_t i = 0; i < picture->count; i++) {
        const struct linear_call *shown = &picture->call[i];

        picture->spec->print_call(shown, text);
        fprintf(file, "    %c thread %u, %llu to ", (char)('a' + i), shown->thread,
                (unsigned long long)shown->start);
        if (shown->end == LINEAR_NEVER)
            fprintf(file, "never");
        else
            fprintf(file, "%llu", (unsigned long long)shown->end);
        fprintf(file, ": %s%s\n", text, shown->start == failed ? "   <-- this one" : "");
    }
}

void linear_picture(FILE *file, const struct linear_spec *spec, const struct linear_call *call,
                    size_t count, uint64_t failed) {
    struct picture picture = {.spec = spec};

    while (picture.count < count && picture.count < LINEAR_SHOWN_MAX) {
        picture.call[picture.count] = call[picture.count];
        picture.count++;
    }
    draw(file, &picture, failed);
}

void linear_draw(FILE *file, const struct linear_spec *spec, const struct linear_call *call,
                 size_t count, uint64_t initial, const struct linear_verdict *verdict) {
    struct linear_call failed = call[verdict->failed];
    struct linear_call *copy = malloc(count * sizeof *copy);
    struct picture picture = {.spec = spec};

    if (!copy)
        abort();
    memcpy(copy, call, count * sizeof *copy);
    count = reduce(spec, copy, count, initial, &failed);
    choose(&picture, copy, count, &failed);
    free(copy);
    fprintf(file, "%s, key %#llx: no order of these calls explains the one that is marked\n",
            spec->name, (unsigned long long)failed.key);
    draw(file, &picture, failed.start);
    fprintf(file, "    right before its start: ");
    print_states(file, spec, &verdict->before);
}
