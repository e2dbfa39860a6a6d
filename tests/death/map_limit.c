/* SPDX-License-Identifier: MIT */
/*
 * map_limit: stale access kills also when the process stands at vm.max_map_count.
 *
 * With markers a decommit and a release need no mapping, so they work there. Without, Moat lets go
 * of mappings that it held for this. Once there are none the kernel may refuse: then the call must
 * say so, and the pages are still committed and alive.
 */
#define _GNU_SOURCE
#include "support/expect_death.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* So many decommits in the middle of a region find mappings held for them, and no more. */
enum { SPARES = 30 };

/* Every second page of a long stretch readable, until the kernel gives no more. */
static void use_up_mappings(void) {
    size_t pages = (size_t)1 << 20;
    unsigned char *stretch =
        mmap(NULL, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    must(stretch != MAP_FAILED, "mmap");
    for (size_t page = 1; page < pages; page += 2)
        if (mprotect(stretch + page * PAGE, PAGE, PROT_READ) != 0)
            return;
    must(false, "the limit was not reached");
}

static unsigned char *filled(const struct scene *scene) {
    unsigned char *base = must_reserve(scene->manager, scene->size, true);
    memset(base, 'f', scene->size);
    use_up_mappings();
    return base;
}

static unsigned char *decommitted(const struct scene *scene) {
    unsigned char *page = filled(scene) + PAGE;
    must(moat_decommit(scene->manager, page, PAGE) == MOAT_OK, "decommit");
    return page;
}

static unsigned char *released(const struct scene *scene) {
    unsigned char *base = filled(scene);
    must(moat_release(scene->manager, base) == MOAT_OK, "release");
    return base;
}

/* Every second page, until mappings that were held for this are used up as well. */
static unsigned char *refused(const struct scene *scene) {
    unsigned char *base = filled(scene), *page = base + PAGE;
    enum moat_status status = MOAT_OK;
    for (; page < base + scene->size - PAGE; page += 2 * PAGE) {
        status = moat_decommit(scene->manager, page, PAGE);
        if (status)
            break;
    }
    must(page > base + (size_t)2 * SPARES * PAGE, "spare mappings are let go");
    must(status == MOAT_MAP_LIMIT, "decommit that is refused");
    must(strstr(moat_last_error_text(), "vm.max_map_count: ") != NULL, "the text names the limit");
    must(strstr(moat_last_error_text(), " of at most ") != NULL, "and the count");
    struct moat_page_info info;
    must(moat_query(page, &info) == MOAT_OK && info.state == MOAT_STATE_COMMITTED, "committed");
    must(*page == 'f', "with its content");
    return page;
}

static unsigned char *beside(const struct scene *scene) {
    return decommitted(scene) + PAGE;
}

/* Some systems allow so many that nobody gets there. */
static bool limit_is_near(void) {
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    unsigned long limit = 0;
    bool near = file && fscanf(file, "%lu", &limit) == 1 && limit <= 500000;
    if (file)
        fclose(file);
    return near;
}

int main(void) {
    if (!limit_is_near()) {
        puts("vm.max_map_count is too high to be reached: nothing was tried");
        return 0;
    }
    expect_death("trap=markers", decommitted, 4 * PAGE, TOUCH_READ);
    expect_death("trap=markers", decommitted, 4 * PAGE, TOUCH_WRITE);
    expect_death("trap=markers", released, 4 * PAGE, TOUCH_READ);
    expect_life("trap=markers", beside, 4 * PAGE, TOUCH_WRITE);
    expect_life("trap=markers", filled, 4 * PAGE, TOUCH_WRITE);
    expect_life("trap=protect", filled, 4 * PAGE, TOUCH_WRITE);
    expect_death("trap=protect", decommitted, 4 * PAGE, TOUCH_READ);
    expect_death("trap=protect", released, 4 * PAGE, TOUCH_WRITE);
    expect_life("trap=protect", refused, 4 * (size_t)SPARES * PAGE, TOUCH_WRITE);
    return end_expectations();
}
