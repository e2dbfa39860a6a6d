/* SPDX-License-Identifier: MIT */
/*
 * execute: pages run only if their protection says so.
 *
 * The page is full of the shortest function there is for the machine; where that is not known the
 * program has nothing to try and says so.
 */
#include "support/expect_death.h"

#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
static const unsigned char function[] = {0xC3};
#elif defined(__aarch64__)
static const unsigned char function[] = {0xC0, 0x03, 0x5F, 0xD6};
#else
static const unsigned char function[] = {0};
#define UNKNOWN_MACHINE 1
#endif

static unsigned char *with_protection(const struct scene *scene, uint32_t protection) {
    unsigned char *base = must_reserve(scene->manager, scene->size, true);
    uint32_t old;
    for (size_t at = 0; at < scene->size; at += sizeof function)
        memcpy(base + at, function, sizeof function);
    must(moat_protect(scene->manager, base, scene->size, protection, &old) == MOAT_OK, "protect");
    __builtin___clear_cache((char *)base, (char *)base + scene->size);
    return base;
}

static unsigned char *read_write(const struct scene *scene) {
    return with_protection(scene, MOAT_PAGE_READWRITE);
}

static unsigned char *read_only(const struct scene *scene) {
    return with_protection(scene, MOAT_PAGE_READONLY);
}

static unsigned char *no_access(const struct scene *scene) {
    return with_protection(scene, MOAT_PAGE_NOACCESS);
}

static unsigned char *no_longer(const struct scene *scene) {
    unsigned char *base = with_protection(scene, MOAT_PAGE_EXECUTE_READ);
    uint32_t old;
    must(moat_protect(scene->manager, base, PAGE, MOAT_PAGE_READONLY, &old) == MOAT_OK, "protect");
    return base;
}

static unsigned char *decommitted(const struct scene *scene) {
    unsigned char *base = with_protection(scene, MOAT_PAGE_EXECUTE_READ);
    must(moat_decommit(scene->manager, base, PAGE) == MOAT_OK, "decommit");
    return base;
}

static unsigned char *execute(const struct scene *scene) {
    return with_protection(scene, MOAT_PAGE_EXECUTE);
}

static unsigned char *execute_read(const struct scene *scene) {
    return with_protection(scene, MOAT_PAGE_EXECUTE_READ);
}

static unsigned char *execute_all(const struct scene *scene) {
    return with_protection(scene, MOAT_PAGE_EXECUTE_READWRITE);
}

int main(void) {
#ifdef UNKNOWN_MACHINE
    puts("no function is known for this machine: nothing was tried");
    return 0;
#endif
    static const size_t sizes[] = {PAGE, GRANULE, BLOCK};
    static unsigned char *(*const deadly[])(const struct scene *) = {
        read_write, read_only, no_access, no_longer, decommitted};
    static unsigned char *(*const alive[])(const struct scene *) = {execute, execute_read,
                                                                    execute_all};
    for (unsigned kind = 0; kind < KINDS; kind++)
        for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            for (unsigned j = 0; j < sizeof deadly / sizeof deadly[0]; j++)
                expect_death(kinds[kind], deadly[j], sizes[i], TOUCH_EXECUTE);
            for (unsigned j = 0; j < sizeof alive / sizeof alive[0]; j++)
                expect_life(kinds[kind], alive[j], sizes[i], TOUCH_EXECUTE);
            expect_death(kinds[kind], execute_read, sizes[i], TOUCH_WRITE);
        }
    return end_expectations();
}
