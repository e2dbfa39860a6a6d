/* SPDX-License-Identifier: MIT */
/*
 * jemalloc: arenas of jemalloc 5 whose memory is regions of a Moat manager.
 *
 * jemalloc gets its address space through extent hooks, one set an arena. Those here answer with
 * regions. To have an arena beside the others, and allocate in it:
 *
 *     static struct moat_jemalloc plug;
 *     unsigned arena;
 *     moat_jemalloc_init(&plug, manager);
 *     if (moat_jemalloc_create(&plug, &arena) == MOAT_OK)
 *         block = mallocx(size, MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE);
 *
 * A program that is not changed gets them for all its arenas: LD_PRELOAD=libmoat_jemalloc.so, where
 * it uses a libjemalloc.so.2.
 *
 * What then traps. jemalloc asks for regions of 2 MiB and more (opt.retain:true, the default), and
 * cuts them into extents: slabs of small blocks, and large blocks. A page before and behind each
 * region traps, what it has not used yet traps (it is not committed), and so does every extent that
 * it gave up (decommitted): 10 seconds after it was freed, as MALLOC_CONF=dirty_decay_ms has it, at
 * once for blocks of 8 MiB and more. Blocks in a slab have no guards, nor have extents side by side
 * in a region: an overflow of one runs into its neighbour. A block that was freed stays accessible
 * until its extent is given up. For a guard around each large block set MALLOC_CONF=
 * retain:false,dirty_decay_ms:0,muzzy_decay_ms:0: then each extent is a region, which is released
 * with it. That costs system calls, and 64 KiB of address space for each slab.
 *
 * What jemalloc asks, and what is done:
 *
 *     alloc          moat_reserve, aligned as asked, committed if asked. Not at a given address
 *     dalloc         moat_release of a whole region. A part of one is refused, so jemalloc has it
 *                    decommitted and keeps it for later
 *     destroy        moat_release of a whole region, as all are when an arena is destroyed. A part
 *                    would be decommitted, and stay reserved until the manager goes
 *     commit         moat_commit
 *     decommit       moat_decommit: the pages trap
 *     purge_lazy     moat_reset: they read as before or as zero
 *     purge_forced   moat_discard: they read as zero
 *     split          nothing: the region stays one
 *     merge          nothing within a region; across two it is refused
 *
 * No hook fails silently: what Moat refuses is refused to jemalloc, whose allocation then fails as
 * it does when the kernel is out of memory.
 *
 * Extents that an arena had before it was taken are not in regions, and are left to the hooks it
 * had, but for one thing: those that jemalloc gives up are unmapped, not kept. jemalloc starts with
 * 2 MiB in arena 0; what is free of them goes when arenas are taken, and what was allocated before
 * that, with the rest of its slabs, stays as it is.
 *
 * jemalloc's own guards (san_guard_*) and its allocator of huge pages (hpa) work without hooks
 * only: it ignores both in such arenas. jemalloc's pages have to be multiples of Moat's.
 *
 * Needs <jemalloc/jemalloc.h> 5.0 or later (Debian: libjemalloc-dev), tested with 5.3.0; works with
 * functions that have a prefix. It is all in this header: the library itself knows no jemalloc.
 */
#ifndef MOAT_JEMALLOC_H
#define MOAT_JEMALLOC_H

#include <moat/moat.h>
#include <moat/placement.h>
#include <moat/residency.h>

#include <jemalloc/jemalloc.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Hooks with what they need. It stays where it is as long as jemalloc has an arena that uses it:
 * for automatic arenas that is for ever. */
struct moat_jemalloc {
    extent_hooks_t hooks; /* first: a hook gets its address */
    struct moat_manager *manager;
    extent_hooks_t *before; /* of arenas that were taken; NULL while there are none */
};

static inline struct moat_jemalloc *moat_jemalloc_of(extent_hooks_t *hooks) {
    return (struct moat_jemalloc *)(void *)hooks;
}

/* The start of the region around an address; 0 if it is in none of the manager's. */
static inline uintptr_t moat_jemalloc_region(const struct moat_jemalloc *plug, uintptr_t address) {
    struct moat_page_info info;

    if (moat_query((const void *)address, &info) || info.owner != plug->manager)
        return 0;
    return (uintptr_t)info.allocation_base;
}

static inline bool moat_jemalloc_owns(const struct moat_jemalloc *plug, const void *address) {
    return moat_jemalloc_region(plug, (uintptr_t)address) != 0;
}

/* Whether an extent of ours is a region, and not a part of one. */
static inline bool moat_jemalloc_is_region(const struct moat_jemalloc *plug, const void *address,
                                           size_t size) {
    uintptr_t start = (uintptr_t)address;

    return moat_jemalloc_region(plug, start) == start &&
           moat_jemalloc_region(plug, start + size) != start;
}

static inline void *moat_jemalloc_alloc(extent_hooks_t *hooks, void *address, size_t size,
                                        size_t alignment, bool *zero, bool *commit,
                                        unsigned arena) {
    struct moat_jemalloc *plug = moat_jemalloc_of(hooks);
    struct moat_address_limits limits = {0, 0, 0};
    void *base;

    (void)arena;
    if (address) /* to continue an extent, which a region of its own could not */
        return NULL;
    if (alignment > MOAT_GRANULARITY)
        limits.alignment = alignment;
    if (moat_reserve_within(plug->manager, size, MOAT_PAGE_READWRITE,
                            *commit ? MOAT_RESERVE_COMMIT : 0, &limits, &base))
        return NULL;
    *zero = true;
    return base;
}

static inline bool moat_jemalloc_dalloc(extent_hooks_t *hooks, void *address, size_t size,
                                        bool committed, unsigned arena) {
    struct moat_jemalloc *plug = moat_jemalloc_of(hooks);

    if (moat_jemalloc_owns(plug, address))
        return !moat_jemalloc_is_region(plug, address, size) ||
               moat_release(plug->manager, address) != MOAT_OK;
    if (!plug->before)
        return true;
    if (plug->before->dalloc &&
        !plug->before->dalloc(plug->before, address, size, committed, arena))
        return false;
    if (!plug->before->destroy)
        return true;
    plug->before->destroy(plug->before, address, size, committed, arena);
    return false;
}

static inline void moat_jemalloc_destroy(extent_hooks_t *hooks, void *address, size_t size,
                                         bool committed, unsigned arena) {
    struct moat_jemalloc *plug = moat_jemalloc_of(hooks);
    enum moat_status status = MOAT_OK;

    if (!moat_jemalloc_owns(plug, address)) {
        if (plug->before && plug->before->destroy)
            plug->before->destroy(plug->before, address, size, committed, arena);
        return;
    }
    if (moat_jemalloc_is_region(plug, address, size))
        status = moat_release(plug->manager, address);
    else if (committed)
        status = moat_decommit(plug->manager, address, size);
    (void)status; /* jemalloc does not ask; the region goes with the manager */
}

static inline bool moat_jemalloc_commit(extent_hooks_t *hooks, void *address, size_t size,
                                        size_t offset, size_t length, unsigned arena) {
    struct moat_jemalloc *plug = moat_jemalloc_of(hooks);

    if (moat_jemalloc_owns(plug, address))
        return moat_commit(plug->manager, (char *)address + offset, length, MOAT_PAGE_READWRITE,
                           NULL) != MOAT_OK;
    return !plug->before || !plug->before->commit ||
           plug->before->commit(plug->before, address, size, offset, length, arena);
}

static inline bool moat_jemalloc_decommit(extent_hooks_t *hooks, void *address, size_t size,
                                          size_t offset, size_t length, unsigned arena) {
    struct moat_jemalloc *plug = moat_jemalloc_of(hooks);

    if (moat_jemalloc_owns(plug, address))
        return moat_decommit(plug->manager, (char *)address + offset, length) != MOAT_OK;
    return !plug->before || !plug->before->decommit ||
           plug->before->decommit(plug->before, address, size, offset, length, arena);
}

static inline bool moat_jemalloc_purge_lazy(extent_hooks_t *hooks, void *address, size_t size,
                                            size_t offset, size_t length, unsigned arena) {
    struct moat_jemalloc *plug = moat_jemalloc_of(hooks);

    if (moat_jemalloc_owns(plug, address))
        return moat_reset(plug->manager, (char *)address + offset, length, MOAT_PAGE_READWRITE,
                          NULL) != MOAT_OK;
    return !plug->before || !plug->before->purge_lazy ||
           plug->before->purge_lazy(plug->before, address, size, offset, length, arena);
}

static inline bool moat_jemalloc_purge_forced(extent_hooks_t *hooks, void *address, size_t size,
                                              size_t offset, size_t length, unsigned arena) {
    struct moat_jemalloc *plug = moat_jemalloc_of(hooks);

    if (moat_jemalloc_owns(plug, address))
        return moat_discard(plug->manager, (char *)address + offset, length) != MOAT_OK;
    return !plug->before || !plug->before->purge_forced ||
           plug->before->purge_forced(plug->before, address, size, offset, length, arena);
}

static inline bool moat_jemalloc_split(extent_hooks_t *hooks, void *address, size_t size,
                                       size_t size_a, size_t size_b, bool committed,
                                       unsigned arena) {
    struct moat_jemalloc *plug = moat_jemalloc_of(hooks);

    if (moat_jemalloc_owns(plug, address))
        return false;
    return !plug->before || !plug->before->split ||
           plug->before->split(plug->before, address, size, size_a, size_b, committed, arena);
}

static inline bool moat_jemalloc_merge(extent_hooks_t *hooks, void *address_a, size_t size_a,
                                       void *address_b, size_t size_b, bool committed,
                                       unsigned arena) {
    struct moat_jemalloc *plug = moat_jemalloc_of(hooks);
    uintptr_t region_b = moat_jemalloc_region(plug, (uintptr_t)address_b);

    /* A region that starts before the second extent is that of the first, which lies there. */
    if (region_b)
        return region_b == (uintptr_t)address_b;
    return moat_jemalloc_owns(plug, address_a) || !plug->before || !plug->before->merge ||
           plug->before->merge(plug->before, address_a, size_a, address_b, size_b, committed,
                               arena);
}

/*
 * Make hooks that take regions of a manager.
 *
 *   plug      written whole
 *   manager   has to outlive every arena that gets the hooks
 *
 * Threads   any one
 * Since     0.6
 */
static inline void moat_jemalloc_init(struct moat_jemalloc *plug, struct moat_manager *manager) {
    plug->hooks.alloc = moat_jemalloc_alloc;
    plug->hooks.dalloc = moat_jemalloc_dalloc;
    plug->hooks.destroy = moat_jemalloc_destroy;
    plug->hooks.commit = moat_jemalloc_commit;
    plug->hooks.decommit = moat_jemalloc_decommit;
    plug->hooks.purge_lazy = moat_jemalloc_purge_lazy;
    plug->hooks.purge_forced = moat_jemalloc_purge_forced;
    plug->hooks.split = moat_jemalloc_split;
    plug->hooks.merge = moat_jemalloc_merge;
    plug->manager = manager;
    plug->before = NULL;
}

static inline enum moat_status moat_jemalloc_check(void) {
    size_t page = 0;
    size_t length = sizeof page;

    if (mallctl("arenas.page", &page, &length, NULL, 0) || page % MOAT_PAGE_SIZE != 0)
        return MOAT_NOT_SUPPORTED;
    return MOAT_OK;
}

/*
 * Create an arena, for mallocx() and the like, and `thread.arena`.
 *
 *   arena   receives its number
 *
 * Returns   MOAT_OK
 *           MOAT_NOT_SUPPORTED   jemalloc's pages are smaller than Moat's
 *           MOAT_NO_MEMORY       jemalloc did not make it: moat_last_error_text may say why
 * Threads   any, at once
 * Since     0.6
 */
static inline enum moat_status moat_jemalloc_create(struct moat_jemalloc *plug, unsigned *arena) {
    extent_hooks_t *hooks = &plug->hooks;
    size_t length = sizeof *arena;
    enum moat_status status = moat_jemalloc_check();

    if (!status && mallctl("arenas.create", arena, &length, &hooks, sizeof hooks))
        status = MOAT_NO_MEMORY;
    return status;
}

/* Take one arena, unless it has hooks of somebody else. */
static inline enum moat_status moat_jemalloc_take(struct moat_jemalloc *plug, unsigned arena,
                                                  unsigned *taken) {
    extent_hooks_t *hooks = &plug->hooks;
    extent_hooks_t *old = NULL;
    size_t mib[3];
    size_t parts = 3;
    size_t length = sizeof(extent_hooks_t *);

    if (mallctlnametomib("arena.0.extent_hooks", mib, &parts))
        return MOAT_NOT_SUPPORTED;
    mib[1] = arena;
    if (mallctlbymib(mib, parts, (void *)&old, &length, NULL, 0))
        return MOAT_NOT_SUPPORTED;
    if (!plug->before)
        plug->before = old;
    if (old != plug->before)
        return MOAT_OK;
    if (mallctlbymib(mib, parts, NULL, NULL, (void *)&hooks, sizeof hooks))
        return MOAT_NO_MEMORY;
    ++*taken;
    return MOAT_OK;
}

/* Use up what arena 0 keeps of the memory that it had, and free it: then it is unmapped, and the
 * next extents are regions. Slabs and blocks in use stay where they are. */
static inline void moat_jemalloc_drain(const struct moat_jemalloc *plug) {
    int flags = MALLOCX_ARENA(0) | MALLOCX_TCACHE_NONE;
    size_t size = (size_t)16384; /* from here on a block is an extent of its own */
    void **last = NULL;

    for (bool drained = false; !drained;) {
        void **block = (void **)mallocx(size, flags);
        drained = !block || moat_jemalloc_owns(plug, block);
        if (!block)
            break;
        *block = (void *)last;
        last = block;
    }
    while (last) {
        void **block = last;
        last = (void **)*block;
        dallocx((void *)block, flags);
    }
    (void)mallctl("arena.0.purge", NULL, NULL, NULL, 0);
}

/*
 * Take all arenas that jemalloc chooses by itself: those of threads, and that of blocks from
 * opt.oversize_threshold on (8 MiB). Which of them are not in use yet are made; each costs some
 * 80 KiB, and there are 4 for each processor (MALLOC_CONF=narenas:N). Arenas whose hooks are not
 * those that arena 0 had are somebody's own and left alone; those that the program creates later,
 * too.
 *
 *   plug    fresh from moat_jemalloc_init
 *   taken   receives how many there were
 *
 * To be called once, when a program starts: what is allocated already stays where it is.
 *
 * Returns   MOAT_OK
 *           MOAT_NOT_SUPPORTED   this jemalloc has no extent hooks, or pages smaller than Moat's
 *           MOAT_NO_MEMORY       an arena could not be made, and those before it were taken
 * Threads   any one
 * Since     0.6
 */
static inline enum moat_status moat_jemalloc_take_all(struct moat_jemalloc *plug, unsigned *taken) {
    unsigned automatic = 0;
    size_t threshold = 0;
    size_t length = sizeof automatic;
    void *oversized = NULL;
    enum moat_status status = moat_jemalloc_check();

    *taken = 0;
    if (!status && mallctl("opt.narenas", &automatic, &length, NULL, 0))
        status = MOAT_NOT_SUPPORTED;
    for (unsigned arena = 0; arena < automatic && !status; arena++)
        status = moat_jemalloc_take(plug, arena, taken);
    if (!status)
        moat_jemalloc_drain(plug);

    /* The arena of large blocks follows them, and is there from the first such block on. */
    length = sizeof threshold;
    if (status || mallctl("opt.oversize_threshold", &threshold, &length, NULL, 0) || !threshold)
        return status;
    oversized = mallocx(threshold, 0);
    if (!oversized)
        return MOAT_NO_MEMORY;
    status = moat_jemalloc_take(plug, automatic, taken);
    dallocx(oversized, 0);
    return status;
}

#ifdef __cplusplus
}
#endif

#endif
