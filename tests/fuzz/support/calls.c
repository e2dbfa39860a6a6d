/* SPDX-License-Identifier: MIT */
/* calls: the native face, on the managers of the world. */
#include "calls.h"

#include "world.h"

#include <moat/placeholder.h>
#include <moat/residency.h>
#include <moat/space.h>
#include <moat/watch.h>

static struct moat_manager *of(unsigned owner) {
    return owner < MODEL_OWNERS ? world.managers[owner] : NULL;
}

static bool alike(enum moat_status is, enum moat_status should) {
    return is == should;
}

static enum moat_status reserve(unsigned owner, void *address, size_t size, uint32_t protection,
                                uint32_t flags, void **base) {
    return moat_reserve(of(owner), address, size, protection, flags, base);
}

static enum moat_status reserve_within(unsigned owner, size_t size, uint32_t protection,
                                       uint32_t flags, const struct moat_address_limits *limits,
                                       void **base) {
    return moat_reserve_within(of(owner), size, protection, flags, limits, base);
}

static enum moat_status commit(unsigned owner, void *address, size_t size, uint32_t protection,
                               void **start) {
    return moat_commit(of(owner), address, size, protection, start);
}

static enum moat_status reset(unsigned owner, void *address, size_t size, uint32_t protection,
                              void **start) {
    return moat_reset(of(owner), address, size, protection, start);
}

static enum moat_status reset_undo(unsigned owner, void *address, size_t size, uint32_t protection,
                                   void **start) {
    return moat_reset_undo(of(owner), address, size, protection, start);
}

static enum moat_status decommit(unsigned owner, void *address, size_t size) {
    return moat_decommit(of(owner), address, size);
}

static enum moat_status release(unsigned owner, void *address) {
    return moat_release(of(owner), address);
}

static enum moat_status protect(unsigned owner, void *address, size_t size, uint32_t protection,
                                uint32_t *old) {
    return moat_protect(of(owner), address, size, protection, old);
}

static enum moat_status watch_get(unsigned owner, uint32_t flags, const void *address, size_t size,
                                  void **pages, size_t *count) {
    return moat_watch_get(of(owner), flags, address, size, pages, count);
}

static enum moat_status watch_reset(unsigned owner, const void *address, size_t size) {
    return moat_watch_reset(of(owner), address, size);
}

static enum moat_status lock_pages(unsigned owner, void *address, size_t size) {
    return moat_lock_pages(of(owner), address, size);
}

static enum moat_status unlock_pages(unsigned owner, void *address, size_t size) {
    return moat_unlock_pages(of(owner), address, size);
}

static enum moat_status discard(unsigned owner, void *address, size_t size) {
    return moat_discard(of(owner), address, size);
}

static enum moat_status placeholder(unsigned owner, void *address, size_t size, uint32_t flags,
                                    void **base) {
    return moat_placeholder_reserve(of(owner), address, size, flags, NULL, base);
}

static enum moat_status replace(unsigned owner, void *address, size_t size, uint32_t protection,
                                uint32_t flags, void **base) {
    return moat_placeholder_replace(of(owner), address, size, protection, flags, base);
}

static enum moat_status preserve(unsigned owner, void *address, size_t size) {
    return moat_placeholder_preserve(of(owner), address, size);
}

static enum moat_status coalesce(unsigned owner, void *address, size_t size) {
    return moat_placeholder_coalesce(of(owner), address, size);
}

static enum moat_status adopt(unsigned owner, const void *address, size_t size) {
    return moat_adopt(of(owner), address, size);
}

static enum moat_status disown(unsigned owner, const void *address) {
    return moat_disown(of(owner), address);
}

static enum moat_status trim(unsigned owner, const void *address, size_t size, size_t *given) {
    (void)owner;
    return moat_trim(address, size, given);
}

const struct calls calls_native = {
    .alike = alike,
    .reserve = reserve,
    .reserve_within = reserve_within,
    .commit = commit,
    .reset = reset,
    .reset_undo = reset_undo,
    .decommit = decommit,
    .release = release,
    .protect = protect,
    .watch_get = watch_get,
    .watch_reset = watch_reset,
    .lock_pages = lock_pages,
    .unlock_pages = unlock_pages,
    .discard = discard,
    .placeholder = placeholder,
    .replace = replace,
    .preserve = preserve,
    .coalesce = coalesce,
    .adopt = adopt,
    .disown = disown,
    .trim = trim,
};

const struct calls *calls = &calls_native;
