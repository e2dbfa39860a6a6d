/* SPDX-License-Identifier: MIT */
/* watch: which pages were written; arguments as GetWriteWatch has them, and who records. */
#include "vm/watch.h"

#include "base/site.h"
#include "os/os.h"
#include "region/clean.h"
#include "region/watch.h"
#include "vm/fault.h"
#include "vm/range.h"

#include <moat/watch.h>

#include <errno.h>

static const char no_kernel[] = "the kernel does not record writes (userfaultfd with WP_ASYNC and "
                                "PAGEMAP_SCAN, Linux 6.7), or a filter of system calls forbids it";
static const char no_handler[] = "watch=fault: call moat_fault_handler_install before";
static const char no_way[] = "the kernel does not record writes (userfaultfd with WP_ASYNC and "
                             "PAGEMAP_SCAN, Linux 6.7); where moat_fault_handler_install was "
                             "called before, faults do";

enum moat_status moat_watch_start(const struct moat_manager *manager,
                                  const struct moat_place *place, const char *what,
                                  uint32_t *flags) {
    enum moat_watch way = manager->options.watch;
    int error = way == MOAT_WATCH_FAULT ? ENOSYS : moat_watch_begin(place->base, place->size);

    *flags |= MOAT_REGION_WATCHED;
    if (error == ENOSYS && way == MOAT_WATCH_KERNEL)
        return moat_fail(MOAT_NOT_SUPPORTED, what, place->base, no_kernel);
    if (error == ENOSYS && !moat_fault_handled())
        return moat_fail(MOAT_NOT_SUPPORTED, what, place->base,
                         way == MOAT_WATCH_FAULT ? no_handler : no_way);
    if (error == ENOSYS) {
        *flags |= MOAT_REGION_CLEANED;
        return MOAT_OK;
    }
    if (error == EMFILE || error == ENFILE)
        return moat_fail(MOAT_NO_MEMORY, what, place->base,
                         "no file descriptor is left to record writes with");
    return error ? moat_fail_kernel(error, MOAT_NO_MEMORY, what, place->base) : MOAT_OK;
}

void moat_watch_stop(const struct moat_place *place) {
    const struct moat_space *space = place->space;
    /* A mapping of its own goes, and its records with it. */
    if (space->arena || place->base != space->usable_start ||
        place->base + place->size != space->usable_end)
        moat_watch_end(place->base, place->size);
}

/* Find the watched region that holds the range, and take its stripes. */
static enum moat_status enter(struct moat_manager *manager, const char *what, uintptr_t address,
                              size_t size, struct moat_range *range, struct moat_region_ref *ref,
                              uint32_t *stripes) {
    enum moat_status status;

    if (!moat_range_of(address, size, MOAT_OS_USER_END, range))
        return moat_fail(MOAT_INVALID_ARGUMENT, what, address,
                         "the size is 0 or the range leaves user space");
    struct moat_patience patience = {0};
    do {
        if (!moat_region_find(range->start, ref) || !(ref->flags & MOAT_REGION_WATCHED) ||
            (manager && ref->owner != manager))
            return moat_fail(MOAT_INVALID_ARGUMENT, what, address,
                             "in no region with write watch of this manager");
        if (!moat_range_fits(range, ref))
            return moat_fail(MOAT_LEAVES_REGION, what, address,
                             "the range runs past the end of the region");
        status = moat_manager_enter(ref, range->start, range->end, &patience, stripes);
    } while (status == MOAT_NOT_OURS); /* released meanwhile: perhaps reserved again, too */
    return status ? moat_fail_wait(status, what, address) : MOAT_OK;
}

static enum moat_status search(struct moat_manager *manager, const char *what, uintptr_t address,
                               size_t size, struct moat_watch_search *search) {
    struct moat_region_ref ref;
    struct moat_range range;
    uint32_t stripes;
    enum moat_status status = enter(manager, what, address, size, &range, &ref, &stripes);
    if (status)
        return status;
    int error = ref.flags & MOAT_REGION_CLEANED
                    ? moat_clean_collect(&ref, range.start, range.end, search)
                    : moat_watch_collect(&ref, range.start, range.end, search);
    moat_region_leave(&ref, stripes);
    if (error == ENOSYS)
        return moat_fail(MOAT_NOT_SUPPORTED, what, range.start, no_kernel);
    return error ? moat_fail_pages(error, MOAT_NO_MEMORY, what, &range) : MOAT_OK;
}

enum moat_status moat_watch_get(struct moat_manager *manager, uint32_t flags, const void *address,
                                size_t size, void **pages, size_t *count) {
    uintptr_t given = (uintptr_t)address;

    moat_site_note(MOAT_SITE_HERE);
    if (moat_latched())
        return moat_fail_latched("watch", given);
    if (!count)
        return moat_fail(MOAT_NO_ACCESS, "watch", given, "count is NULL");
    if (*count == 0 || size == 0)
        return moat_fail(MOAT_INVALID_ARGUMENT, "watch", given, "the size or the count is 0");
    if (flags & ~MOAT_WATCH_RESET)
        return moat_fail(MOAT_INVALID_ARGUMENT, "watch", given, "unknown flag");
    if (!pages)
        return moat_fail(MOAT_NO_ACCESS, "watch", given, "pages is NULL");
    struct moat_watch_search wanted = {
        .reset = (flags & MOAT_WATCH_RESET) != 0,
        .pages = pages,
        .room = *count,
    };
    enum moat_status status = search(manager, "watch", given, size, &wanted);
    if (!status)
        *count = wanted.count;
    return status;
}

enum moat_status moat_watch_reset(struct moat_manager *manager, const void *address, size_t size) {
    struct moat_watch_search all = {.reset = true};

    moat_site_note(MOAT_SITE_HERE);
    if (moat_latched())
        return moat_fail_latched("watch reset", (uintptr_t)address);
    return search(manager, "watch reset", (uintptr_t)address, size, &all);
}
