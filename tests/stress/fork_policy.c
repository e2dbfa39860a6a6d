/* SPDX-License-Identifier: MIT */
/*
 * fork_policy: what a child has of the regions of managers with fork=dontfork and fork=wipe, before
 * its first call and after it, made by the C library or by the bare system call.
 */
#define _GNU_SOURCE
#include "support/core.h"
#include "support/fork_child.h"

#include <moat/heap.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RW  MOAT_PAGE_READWRITE
#define BIG ((size_t)300 << 20)

#ifdef __SANITIZE_THREAD__
enum { TSAN = true };
#else
enum { TSAN = false };
#endif

enum { BLOCK = 2097152, SHAPES = 4, SECRET = 0x5E };

static const size_t sizes[SHAPES] = {16 * PAGE, 3 * BLOCK, BLOCK + 7 * PAGE, BIG};
static struct moat_manager *manager, *plain;
static struct moat_heap *heap;
static uintptr_t bases[SHAPES], kept;
static void *block;

static struct moat_manager *manager_of(const char *text, enum moat_status wanted) {
    struct moat_options options;
    struct moat_manager *made = NULL;

    moat_options_init(&options);
    CHECK(moat_options_parse(&options, text, NULL, 0) == MOAT_OK, "%s", text);
    enum moat_status status = moat_manager_create(&options, &made);
    CHECK(status == wanted, "%s: %d, %s", text, status, moat_last_error_text());
    return made;
}

/* Pages 2 to 5 and the last one are committed and hold a secret; page 4 is not, any more. */
static void set_scene(const char *policy, const char *trap) {
    char text[128];
    void *at;

    snprintf(text, sizeof text, "fork=%s,trap=%s,quarantine=0", policy, trap);
    manager = manager_of(text, MOAT_OK);
    plain = manager_of("fork=inherit", MOAT_OK);
    for (unsigned i = 0; i < SHAPES; i++) {
        CHECK(moat_reserve(manager, NULL, sizes[i], RW, 0, &at) == MOAT_OK, "%s",
              moat_last_error_text());
        bases[i] = (uintptr_t)at;
        char *last = (char *)at + sizes[i] - PAGE;
        CHECK(moat_commit(manager, (char *)at + 2 * PAGE, 4 * PAGE, RW, NULL) == MOAT_OK &&
                  moat_commit(manager, last, PAGE, RW, NULL) == MOAT_OK,
              "%s", moat_last_error_text());
        memset((char *)at + 2 * PAGE, SECRET, 4 * PAGE);
        memset(last, SECRET, PAGE);
        CHECK(moat_decommit(manager, (char *)at + 4 * PAGE, PAGE) == MOAT_OK, "%s",
              moat_last_error_text());
    }
    CHECK(moat_heap_create(manager, 0, &heap) == MOAT_OK &&
              moat_heap_alloc(heap, 5000, &block) == MOAT_OK,
          "%s", moat_last_error_text());
    memset(block, SECRET, 5000);
    CHECK(moat_reserve(plain, NULL, PAGE, RW, MOAT_RESERVE_COMMIT, &at) == MOAT_OK, "%s",
          moat_last_error_text());
    kept = (uintptr_t)at;
    memset(at, 'k', PAGE);
}

static bool is_all(uintptr_t at, size_t size, unsigned char value) {
    for (size_t i = 0; i < size; i++)
        if (((volatile unsigned char *)at)[i] != value)
            return false;
    return true;
}

static bool is_committed(unsigned shape, uintptr_t page) {
    uintptr_t offset = page - bases[shape];
    return offset == sizes[shape] - PAGE ||
           (offset >= 2 * PAGE && offset < 6 * PAGE && offset != 4 * PAGE);
}

/* --- Children --- */

/* Nothing of Moat has been called yet, but for queries. */
static void find_absent(void) {
    for (unsigned i = 0; i < SHAPES; i++) {
        struct moat_page_info info;
        for (uintptr_t page = bases[i]; page < bases[i] + 40 * PAGE; page += PAGE)
            EXPECT(!child_reads(page), "%#lx is there", (unsigned long)page);
        EXPECT(moat_query((void *)bases[i], &info) == MOAT_OK && info.state == MOAT_STATE_FREE &&
                   info.owner == NULL,
               "%#lx: state %d", (unsigned long)bases[i], info.state);
    }
}

static void find_wiped(void) {
    for (unsigned i = 0; i < SHAPES; i++)
        for (uintptr_t page = bases[i] - PAGE; page < bases[i] + 40 * PAGE; page += PAGE) {
            bool committed = is_committed(i, page) && page >= bases[i];
            if (page >= bases[i] + sizes[i])
                break;
            EXPECT(child_reads(page) == committed, "%#lx of shape %u", (unsigned long)page, i);
            EXPECT(!committed || is_all(page, PAGE, 0), "%#lx is not wiped", (unsigned long)page);
        }
}

static void use_again(void) {
    void *at, *fresh;

    EXPECT(moat_reserve(manager, NULL, 5 * PAGE, RW, MOAT_RESERVE_COMMIT, &at) == MOAT_OK, "%s",
           moat_last_error_text());
    memset(at, 1, 5 * PAGE);
    EXPECT(moat_release(manager, at) == MOAT_OK, "%s", moat_last_error_text());
    for (unsigned i = 0; i < 200; i++) {
        /* Of the class of the block that was there, too. */
        EXPECT(moat_heap_alloc(heap, i % 2 ? 5000 : 777, &fresh) == MOAT_OK, "%s",
               moat_last_error_text());
        memset(fresh, 1, i % 2 ? 5000 : 777);
        EXPECT(i % 3 == 0 || moat_heap_free(heap, fresh) == MOAT_OK, "%s", moat_last_error_text());
    }
    EXPECT(is_all(kept, PAGE, 'k'), "a region that is inherited has changed");
}

static void use_absent(void) {
    struct moat_stats stats;
    struct moat_page_info info;

    /* Before anything new is placed, which may be where these were. */
    EXPECT(moat_heap_free(heap, block) == MOAT_NOT_OURS, "a block that is not there was freed");
    for (unsigned i = 0; i < SHAPES; i++) {
        EXPECT(moat_release(manager, (void *)bases[i]) == MOAT_NOT_OURS, "shape %u", i);
        EXPECT(moat_query((void *)bases[i], &info) == MOAT_OK && info.state == MOAT_STATE_FREE,
               "%#lx: state %d", (unsigned long)bases[i], info.state);
        EXPECT(!child_reads(bases[i] + 2 * PAGE), "%#lx", (unsigned long)bases[i]);
    }
    use_again();
    moat_heap_destroy(heap);
    /* ThreadSanitizer starts a thread in a child, whose stack may come to lie where the large one
     * was. */
    for (unsigned i = 0; i < SHAPES; i++)
        child_use_up(manager, bases[i], sizes[i], !TSAN || sizes[i] != BIG);
    EXPECT(moat_stats_read(manager, &stats) == MOAT_OK && stats.regions_live == 0,
           "%lu regions are left", (unsigned long)stats.regions_live);
}

static void use_wiped(void) {
    struct moat_page_info info;

    use_again();
    EXPECT(is_all((uintptr_t)block, 5000, 0), "a block is not wiped");
    EXPECT(moat_heap_free(heap, block) == MOAT_OK, "%s", moat_last_error_text());
    for (unsigned i = 0; i < SHAPES; i++) {
        EXPECT(moat_query((void *)(bases[i] + 2 * PAGE), &info) == MOAT_OK &&
                   info.state == MOAT_STATE_COMMITTED && info.size == 2 * PAGE,
               "%#lx: state %d", (unsigned long)bases[i], info.state);
        EXPECT(moat_commit(manager, (void *)(bases[i] + 4 * PAGE), PAGE, RW, NULL) == MOAT_OK, "%s",
               moat_last_error_text());
        EXPECT(is_all(bases[i] + 4 * PAGE, PAGE, 0), "%#lx", (unsigned long)bases[i]);
        child_use_up(manager, bases[i], sizes[i], true);
    }
}

/* A child, and a child of it that is made before Moat was called. */
static _Noreturn void be_child(bool absent, bool bare) {
    alarm(60);
    for (unsigned generation = 0; generation < 2; generation++) {
        if (!bare && absent)
            find_absent();
        else if (!bare)
            find_wiped();
        int child = generation == 0 ? child_make(bare) : 1;
        if (child != 0 && generation == 0)
            child_reap(child, "a grandchild", 0);
        if (child != 0)
            break;
    }
    if (absent) {
        use_absent();
    } else {
        if (bare) {
            void *at;
            EXPECT(moat_reserve(plain, NULL, PAGE, RW, 0, &at) == MOAT_OK, "%s",
                   moat_last_error_text());
            find_wiped();
        }
        use_wiped();
        moat_heap_destroy(heap);
    }
    moat_manager_destroy(manager);
    moat_manager_destroy(plain);
    _exit(0);
}

/* Somebody else is given the addresses before Moat is called. */
static _Noreturn void be_late_child(void) {
    alarm(60);
    for (unsigned i = 0; i < SHAPES; i++) {
        void *there = mmap((void *)(bases[i] + 2 * PAGE), PAGE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        EXPECT(there == (void *)(bases[i] + 2 * PAGE) || errno == EEXIST, "shape %u", i);
        if (there != MAP_FAILED)
            *(volatile char *)there = 'x';
    }
    use_again();
    for (unsigned i = 0; i < SHAPES; i++) {
        EXPECT(moat_release(manager, (void *)bases[i]) == MOAT_NOT_OURS, "shape %u", i);
        EXPECT(*(volatile char *)(bases[i] + 2 * PAGE) == 'x', "what is another's has changed");
    }
    moat_manager_destroy(manager);
    _exit(0);
}

static void check_parent(void) {
    for (unsigned i = 0; i < SHAPES; i++) {
        CHECK(is_all(bases[i] + 2 * PAGE, 2 * PAGE, SECRET), "the parent has lost shape %u", i);
        CHECK(!child_reads(bases[i] + 4 * PAGE), "shape %u does not trap", i);
        CHECK(moat_release(manager, (void *)bases[i]) == MOAT_OK, "%s", moat_last_error_text());
    }
    moat_heap_destroy(heap);
    moat_manager_destroy(manager);
    moat_manager_destroy(plain);
}

int main(void) {
    static const char *const traps[] = {"auto", "protect"};
    static const char *const policies[] = {"dontfork", "wipe"};

    for (unsigned trap = 0; trap < 2; trap++)
        for (unsigned policy = 0; policy < 2; policy++)
            for (unsigned bare = 0; bare < 2; bare++) {
                set_scene(policies[policy], traps[trap]);
                fflush(NULL);
                int child = child_make(bare != 0);
                if (child == 0)
                    be_child(policy == 0, bare != 0);
                child_reap(child, policies[policy], trap * 2 + bare);
                if (policy == 0 && bare) {
                    child = child_make(true);
                    if (child == 0)
                        be_late_child();
                    child_reap(child, "late", trap);
                }
                check_parent();
            }
    (void)manager_of("fork=wipe,backend=mimalloc", MOAT_INVALID_ARGUMENT);
    (void)manager_of("fork=dontfork,backend=mimalloc", MOAT_INVALID_ARGUMENT);
    return 0;
}
