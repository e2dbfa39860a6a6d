/* SPDX-License-Identifier: MIT */
/* members: lives of pages, and searches held against them. */
#include "members.h"

#include "timeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct life {
    struct linear_call insert, erase; /* erase.start LINEAR_NEVER: there was none */
};

struct page {
    struct life *life;
    size_t count;
};

struct books {
    struct linear_call *call; /* all of them, by their starts */
    size_t count;
    struct page page[MEMBERS_MAX];
};

static int by_start(const void *one, const void *other) {
    const struct linear_call *a = one, *b = other;

    return a->start < b->start ? -1 : a->start > b->start;
}

static void collect(struct books *books, const struct linear_log *log, unsigned logs) {
    size_t count = 0;

    for (unsigned i = 0; i < logs; i++)
        count += log[i].count;
    books->call = malloc((count + 1) * sizeof *books->call);
    for (unsigned i = 0; i < MEMBERS_MAX; i++)
        books->page[i].life = malloc((count + 1) * sizeof *books->page[i].life);
    if (!books->call)
        abort();
    for (unsigned i = 0; i < logs; i++) {
        memcpy(books->call + books->count, log[i].call, log[i].count * sizeof *log[i].call);
        books->count += log[i].count;
    }
    qsort(books->call, books->count, sizeof *books->call, by_start);
}

static void sort_out(struct books *books) {
    for (size_t i = 0; i < books->count; i++) {
        const struct linear_call *call = &books->call[i];
        struct page *page = &books->page[call->argument[0]];

        if (call->kind == MEMBERS_INSERT)
            page->life[page->count++] =
                (struct life){*call, {.start = LINEAR_NEVER, .end = LINEAR_NEVER}};
        else if (call->kind == MEMBERS_ERASE)
            page->life[page->count - 1].erase = *call;
    }
}

/* The last life that began before a stamp; NULL: none. */
static const struct life *life_before(const struct page *page, uint64_t stamp) {
    size_t low = 0, high = page->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (page->life[middle].insert.start < stamp)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? &page->life[low - 1] : NULL;
}

/* Lives do not overlap, so if any is possible during a call it is the last one that began. */
static const struct life *possible_life(const struct page *page, const struct linear_call *call) {
    const struct life *life = life_before(page, call->end);

    return life && life->erase.end > call->start ? life : NULL;
}

/* The one that lasted throughout a call; it began before the call did. */
static const struct life *certain_life(const struct page *page, const struct linear_call *call) {
    const struct life *life = life_before(page, call->start);

    return life && life->insert.end < call->start && life->erase.start > call->end ? life : NULL;
}

static void print_call(const struct linear_call *call, char text[LINEAR_TEXT_BYTES]) {
    static const char *const names[] = {"insert", "erase", "find_last", "find_next"};
    int used = snprintf(text, LINEAR_TEXT_BYTES, "%s(%u)", names[call->kind], call->argument[0]);

    if (call->kind < MEMBERS_FIND_LAST)
        return;
    if (!call->result[0])
        snprintf(text + used, LINEAR_TEXT_BYTES - (size_t)used, " = none");
    else if (call->result[1] == MEMBERS_UNKNOWN)
        snprintf(text + used, LINEAR_TEXT_BYTES - (size_t)used, " = a page of nobody's");
    else
        snprintf(text + used, LINEAR_TEXT_BYTES - (size_t)used, " = %u", call->result[1]);
}

static const struct linear_spec printed = {.name = "index", .print_call = print_call};

/* Draw a search with what contradicts it: a life, or no life. */
static void draw(const struct linear_call *search, const struct life *life, const char *why) {
    struct linear_call shown[3];
    size_t count = 0;

    printf("index: %s\n", why);
    if (life)
        shown[count++] = life->insert;
    if (life && life->erase.start != LINEAR_NEVER)
        shown[count++] = life->erase;
    shown[count++] = *search;
    qsort(shown, count, sizeof *shown, by_start);
    linear_picture(stdout, &printed, shown, count, search->start);
}

/* Whether one search is as promised; else says why, and names the life that shows it. */
static const char *judge_search(const struct books *books, const struct linear_call *search,
                                const struct life **life) {
    bool up = search->kind == MEMBERS_FIND_NEXT;
    uint32_t from = search->argument[0], found = search->result[1];

    *life = NULL;
    if (search->result[0]) {
        if (found >= MEMBERS_MAX || (up ? found < from : found > from))
            return "the answer is not on that side";
        *life = life_before(&books->page[found], search->end);
        if (!possible_life(&books->page[found], search))
            return "the answer was no member during the search";
    }
    for (uint32_t page = from; page < MEMBERS_MAX; page = up ? page + 1 : page - 1) {
        if (search->result[0] && page == found)
            return NULL;
        *life = certain_life(&books->page[page], search);
        if (*life)
            return "a nearer page was a member throughout";
    }
    return NULL;
}

static void judge(const struct books *books, bool quiet, struct linear_sum *sum) {
    for (size_t i = 0; i < books->count; i++) {
        const struct linear_call *call = &books->call[i];
        const struct life *life;

        for (size_t j = i + 1; j < books->count && books->call[j].start < call->end; j++) {
            sum->pairs++;
            sum->conflicts +=
                (call->kind < MEMBERS_FIND_LAST) != (books->call[j].kind < MEMBERS_FIND_LAST);
        }
        if (call->kind < MEMBERS_FIND_LAST)
            continue;
        const char *why = judge_search(books, call, &life);

        if (why && sum->violations++ == 0 && !quiet)
            draw(call, life, why);
    }
}

void members_judge(const struct linear_log *log, unsigned logs, bool quiet,
                   struct linear_sum *sum) {
    struct books books = {0};

    collect(&books, log, logs);
    sort_out(&books);
    judge(&books, quiet, sum);
    sum->histories++;
    sum->calls += books.count;
    for (unsigned i = 0; i < MEMBERS_MAX; i++)
        free(books.page[i].life);
    free(books.call);
}
