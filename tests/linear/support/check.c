/* SPDX-License-Identifier: MIT */
/* check: one pass over the events with all configurations, as check.h says. */
#include "check.h"

#include <stdlib.h>

struct event {
    uint64_t stamp;
    size_t call;
    bool ends;
};

struct search {
    const struct linear_spec *spec;
    const struct linear_call *call;
    struct event *event;
    size_t event_count;
    size_t open[LINEAR_OPEN_MAX]; /* which call has this bit */
    uint64_t taken, pure;         /* bits: open calls, and the pure ones among them */
    struct configs now, next;     /* between events; while a call is ended: seen, and ended */
    struct linear_verdict *verdict;
};

static int by_stamp(const void *one, const void *other) {
    const struct event *a = one, *b = other;

    return a->stamp < b->stamp ? -1 : a->stamp > b->stamp;
}

static void make_events(struct search *search, size_t count) {
    search->event = calloc(2 * count + 1, sizeof *search->event);
    if (!search->event)
        abort();
    for (size_t i = 0; i < count; i++) {
        const struct linear_call *call = &search->call[i];

        search->event[search->event_count++] = (struct event){call->start, i, false};
        if (call->end != LINEAR_NEVER)
            search->event[search->event_count++] = (struct event){call->end, i, true};
    }
    qsort(search->event, search->event_count, sizeof *search->event, by_stamp);
}

static unsigned bit_of(const struct search *search, size_t call) {
    unsigned bit = 0;

    while (!(search->taken >> bit & 1) || search->open[bit] != call)
        bit++;
    return bit;
}

/* The open calls among `bits` that can do their work now; the first of them from *bit on. */
static bool next_possible(const struct search *search, struct config config, uint64_t bits,
                          unsigned *bit, struct config *after) {
    for (bits &= ~config.done; *bit < LINEAR_OPEN_MAX && bits >> *bit != 0; ++*bit) {
        uint64_t mask = UINT64_C(1) << *bit;

        if (!(bits & mask))
            continue;
        *after = (struct config){.done = config.done | mask};
        if (search->spec->apply(&search->call[search->open[*bit]], config.state, &after->state))
            return true;
    }
    return false;
}

/* Pure calls that are possible have done their work: see check.h. */
static struct config settle(const struct search *search, struct config config) {
    struct config after;

    for (unsigned bit = 0; next_possible(search, config, search->pure, &bit, &after); bit++)
        config.done = after.done;
    return config;
}

static void add(struct search *search, struct configs *set, struct config config) {
    if (configs_add(set, config))
        search->verdict->explored++;
    else
        search->verdict->repeated++;
}

static void replace_now(struct search *search) {
    struct configs old = search->now;

    search->now = search->next;
    search->next = old;
    configs_clear(&search->next);
}

static void start_call(struct search *search, size_t call) {
    unsigned bit = 0, open = 1;

    while (search->taken >> bit & 1) {
        if (++bit == LINEAR_OPEN_MAX)
            abort();
    }
    for (unsigned other = 0; other < LINEAR_OPEN_MAX; other++)
        open += (unsigned)(search->taken >> other & 1);
    if (open > search->verdict->open_most)
        search->verdict->open_most = open;
    search->taken |= UINT64_C(1) << bit;
    search->open[bit] = call;
    if (!search->spec->is_pure || !search->spec->is_pure(&search->call[call]))
        return;
    search->pure |= UINT64_C(1) << bit;
    for (size_t i = 0; i < search->now.count; i++)
        add(search, &search->next, settle(search, search->now.at[i]));
    replace_now(search);
}

/* Keep the configurations in which the call has done its work, and go there from the others. False:
 * there are none. */
static bool end_call(struct search *search, size_t call) {
    unsigned bit = bit_of(search, call);
    uint64_t mask = UINT64_C(1) << bit;

    /* `now` grows while it is read: what is reached, once each. */
    for (size_t i = 0; i < search->now.count; i++) {
        struct config config = search->now.at[i], after;

        if (config.done & mask) {
            config.done &= ~mask;
            add(search, &search->next, config);
            continue;
        }
        for (unsigned next = 0;
             next_possible(search, config, search->taken & ~search->pure, &next, &after); next++)
            add(search, &search->now, settle(search, after));
    }
    search->taken &= ~mask;
    search->pure &= ~mask;
    replace_now(search);
    return search->now.count > 0;
}

/* The states there may have been right before the start of the call that failed: a second pass, up
 * to there. */
static void find_before(struct search *search, uint64_t initial) {
    struct linear_verdict ignored = {0}, *verdict = search->verdict;

    search->verdict = &ignored;
    search->taken = search->pure = 0;
    configs_clear(&search->now);
    configs_clear(&search->next);
    configs_add(&search->now, (struct config){.state = initial});
    for (size_t i = 0; search->event[i].stamp != search->call[verdict->failed].start; i++) {
        if (search->event[i].ends)
            end_call(search, search->event[i].call);
        else
            start_call(search, search->event[i].call);
    }
    for (size_t i = 0; i < search->now.count; i++)
        configs_add(&verdict->before, (struct config){.state = search->now.at[i].state});
}

void linear_check(const struct linear_spec *spec, const struct linear_call *call, size_t count,
                  uint64_t initial, struct linear_verdict *verdict) {
    struct search search = {.spec = spec, .call = call, .verdict = verdict};

    *verdict = (struct linear_verdict){.linearizable = true};
    make_events(&search, count);
    add(&search, &search.now, (struct config){.state = initial});
    for (size_t i = 0; i < search.event_count && verdict->linearizable; i++) {
        if (!search.event[i].ends) {
            start_call(&search, search.event[i].call);
        } else if (!end_call(&search, search.event[i].call)) {
            verdict->linearizable = false;
            verdict->failed = search.event[i].call;
        }
    }
    if (!verdict->linearizable)
        find_before(&search, initial);
    configs_free(&search.now);
    configs_free(&search.next);
    free(search.event);
}

void linear_verdict_free(struct linear_verdict *verdict) {
    configs_free(&verdict->before);
}
