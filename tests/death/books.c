/* SPDX-License-Identifier: MIT */
/*
 * books: the options of a manager kill who writes to them, and so do the constants of the process
 * and the margins around the books; what may be read or written there does not.
 */
#include "region/books.h"

#include "region/registry.h"
#include "support/expect_death.h"
#include "vm/manager.h"

static unsigned char *options(const struct scene *scene) {
    return (unsigned char *)&scene->manager->options.on_corruption;
}

static unsigned char *end_of_options(const struct scene *scene) {
    return (unsigned char *)scene->manager + PAGE - 1;
}

/* What its owner writes all the time. */
static unsigned char *counters(const struct scene *scene) {
    return (unsigned char *)&scene->manager->shards[0].of[MOAT_COUNT_REFUSED];
}

/* What runs over the end of one manager meets the options of the next. */
static unsigned char *behind(const struct scene *scene) {
    struct moat_manager *next;
    must(moat_manager_create(NULL, &next) == MOAT_OK, "create");
    must(next == scene->manager + 1, "the next one lies behind");
    return (unsigned char *)(scene->manager + 1);
}

static unsigned char *constants(const struct scene *scene) {
    (void)scene;
    return moat_registry_page.page;
}

static unsigned char *record(const struct scene *scene) {
    (void)must_reserve(scene->manager, PAGE, true);
    return (unsigned char *)&moat_registry()->records[1];
}

/* The margins of the book that holds this. */
static unsigned char *margin(void *inside, bool behind_it, size_t distance) {
    uintptr_t from, to;
    must(moat_books_contain((uintptr_t)inside, &from, &to), "it is of the books");
    return (unsigned char *)(behind_it ? to - distance : from + distance - 1);
}

static unsigned char *before_records(const struct scene *scene) {
    return margin(record(scene), false, 1);
}

static unsigned char *up_to_records(const struct scene *scene) {
    unsigned char *first = record(scene) - sizeof(struct moat_region);
    return first - 1;
}

static unsigned char *behind_records(const struct scene *scene) {
    return margin(record(scene), true, 1);
}

static unsigned char *before_table(const struct scene *scene) {
    (void)scene;
    return moat_registry()->table_storage - 1;
}

static unsigned char *behind_table(const struct scene *scene) {
    (void)scene;
    return margin(moat_registry()->table_storage, true, GRANULE);
}

static unsigned char *before_directory(const struct scene *scene) {
    (void)scene;
    return moat_registry()->directory - 1;
}

int main(void) {
    static unsigned char *(*const traps[])(const struct scene *) = {
        before_records, up_to_records, behind_records, before_table, behind_table, before_directory,
    };
    static unsigned char *(*const frozen[])(const struct scene *) = {options, end_of_options,
                                                                     behind, constants};
    for (unsigned i = 0; i < sizeof traps / sizeof traps[0]; i++) {
        expect_death("", traps[i], PAGE, TOUCH_READ);
        expect_death("", traps[i], PAGE, TOUCH_WRITE);
    }
    for (unsigned i = 0; i < sizeof frozen / sizeof frozen[0]; i++) {
        expect_life("", frozen[i], PAGE, TOUCH_READ);
        expect_death("", frozen[i], PAGE, TOUCH_WRITE);
    }
    expect_life("", counters, PAGE, TOUCH_WRITE);
    expect_life("", record, PAGE, TOUCH_READ);
    return end_expectations();
}
