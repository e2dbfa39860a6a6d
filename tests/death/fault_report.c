/* SPDX-License-Identifier: MIT */
/*
 * fault_report: what the fault reporter says of each kind of trap, to the letter but for numbers,
 * and that the process dies of it as it would have done without. What is not Moat's is not told.
 */
#define _GNU_SOURCE
#include "support/expect_text.h"

#include <moat/code.h>
#include <moat/describe.h>
#include <moat/fault.h>
#include <moat/placeholder.h>

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#define RW MOAT_PAGE_READWRITE

#define BY       "  by thread # at death_fault_report+# (touch_byte), pc #\n"
#define RESERVED "  reserved #.# s ago by thread # at death_fault_report+# (must_reserve)\n"

/* --- One program a text --- */

static void past_the_end(const struct scene *scene) {
    touch_byte(must_reserve(scene->manager, GRANULE, true) + GRANULE + 15, TOUCH_WRITE);
}

static const char past_the_end_text[] =
    "moat: trap: write 16 bytes past the end of a region\n" BY
    "  # is 16 bytes past the end of a region of 65536 bytes [#, #)\n" RESERVED
    "  hint: an index or a length is too large, by that much or more\n";

/* In the last granule of the region, where nothing else can be. */
static void past_the_end_by_one(const struct scene *scene) {
    touch_byte(must_reserve(scene->manager, 3 * PAGE, true) + 3 * PAGE, TOUCH_READ);
}

static const char past_the_end_by_one_text[] =
    "moat: trap: read 1 byte past the end of a region\n" BY
    "  # is 1 byte past the end of a region of 12288 bytes [#, #)\n" RESERVED
    "  hint: an index or a length is too large, by that much or more\n";

static void before_the_start(const struct scene *scene) {
    touch_byte(must_reserve(scene->manager, GRANULE, true) - 8, TOUCH_READ);
}

static const char before_the_start_text[] =
    "moat: trap: read 8 bytes before the start of a region\n" BY
    "  # is 8 bytes before the start of a region of 65536 bytes [#, #)\n" RESERVED
    "  hint: an index is negative, or the pointer of another region\n";

static void uncommitted(const struct scene *scene) {
    touch_byte(must_reserve(scene->manager, GRANULE, false) + 4096, TOUCH_WRITE);
}

static const char uncommitted_text[] =
    "moat: trap: write of a page that is not committed\n" BY
    "  # is in a page that is not committed, at offset 0x1000 of a region of 65536 bytes "
    "[#, #)\n" RESERVED "  hint: commit it before use; or the offset is wrong\n";

static void decommitted(const struct scene *scene) {
    unsigned char *base = must_reserve(scene->manager, GRANULE, true);
    must(moat_decommit(scene->manager, base + PAGE, PAGE) == MOAT_OK, "decommit");
    touch_byte(base + PAGE + 1, TOUCH_READ);
}

static const char decommitted_text[] =
    "moat: trap: read after decommit\n" BY
    "  # is in a page that was decommitted, at offset 0x1001 of a region of 65536 bytes "
    "[#, #)\n" RESERVED "  decommitted #.# s ago by thread # at death_fault_report+# (*)\n"
    "  hint: the pages were given back while something still used them\n";

static struct moat_manager *manager_of_thread;

static void *release_it(void *base) {
    must(moat_release(manager_of_thread, base) == MOAT_OK, "release");
    return NULL;
}

static void released(const struct scene *scene) {
    unsigned char *base = must_reserve(scene->manager, GRANULE, true);
    pthread_t thread;
    manager_of_thread = scene->manager;
    must(pthread_create(&thread, NULL, release_it, base) == 0, "thread");
    must(pthread_join(thread, NULL) == 0, "join");
    touch_byte(base + 0x123, TOUCH_WRITE);
}

static const char released_text[] =
    "moat: trap: write after release\n" BY
    "  # is at offset 0x123 of a region of 65536 bytes [#, #), which was released\n" RESERVED
    "  released #.# s ago by thread # at death_fault_report+# (release_it)\n"
    "  hint: the pointer outlived its region: who kept it?\n";

static unsigned char *protected(const struct scene *scene, uint32_t protection) {
    unsigned char *base = must_reserve(scene->manager, GRANULE, true);
    uint32_t old;
    must(moat_protect(scene->manager, base, PAGE, protection, &old) == MOAT_OK, "protect");
    return base;
}

static void read_only(const struct scene *scene) {
    touch_byte(protected(scene, MOAT_PAGE_READONLY), TOUCH_WRITE);
}

static const char read_only_text[] =
    "moat: trap: write to read-only memory\n" BY
    "  # is in a committed page, at offset 0 of a region of 65536 bytes [#, #)\n"
    "  its page is PAGE_READONLY\n" RESERVED
    "  hint: the page wants PAGE_READWRITE before it is written\n";

static void no_access(const struct scene *scene) {
    touch_byte(protected(scene, MOAT_PAGE_NOACCESS) + 3, TOUCH_READ);
}

static const char no_access_text[] =
    "moat: trap: read of a page without access rights\n" BY
    "  # is in a committed page, at offset 0x3 of a region of 65536 bytes [#, #)\n"
    "  its page is PAGE_NOACCESS\n" RESERVED
    "  hint: it was reserved, committed or protected with PAGE_NOACCESS\n";

static void armed(const struct scene *scene) {
    touch_byte(protected(scene, RW | MOAT_PAGE_GUARD) + 3, TOUCH_WRITE);
}

static const char armed_text[] =
    "moat: trap: write of a page with its guard armed\n" BY
    "  # is in a page with its guard armed, at offset 0x3 of a region of 65536 bytes [#, #)\n"
    "  its page is PAGE_READWRITE, with PAGE_GUARD\n" RESERVED
    "  hint: it goes off once the host installs moat_fault_handler_install\n";

static void executed(const struct scene *scene) {
    unsigned char *base = must_reserve(scene->manager, GRANULE, true);
    memset(base, 0xC3, PAGE);
    touch_byte(base, TOUCH_EXECUTE);
}

/* The code is the address itself: nobody has a name for it. */
static const char executed_text[] =
    "moat: trap: execution of memory that is not executable (NX)\n"
    "  by thread # at #, pc #\n"
    "  # is in a committed page, at offset 0 of a region of 65536 bytes [#, #)\n"
    "  its page is PAGE_READWRITE\n" RESERVED
    "  hint: a jump through a bad pointer; or the page wants PAGE_EXECUTE\n";

static void changed_past_moat(const struct scene *scene) {
    unsigned char *base = must_reserve(scene->manager, GRANULE, true);
    must(mprotect(base, PAGE, PROT_READ) == 0, "mprotect");
    touch_byte(base + 1, TOUCH_WRITE);
}

static const char changed_past_moat_text[] =
    "moat: trap: write that the page allows\n" BY
    "  # is in a committed page, at offset 0x1 of a region of 65536 bytes [#, #)\n"
    "  its page is PAGE_READWRITE\n" RESERVED
    "  hint: somebody changed its rights past Moat, or another thread by now\n";

/* Freed again, if not to be kept. */
static void touch_code(const struct scene *scene, bool publish, bool keep, enum touch how) {
    struct moat_code_heap *heap;
    struct moat_code_block block;
    must(moat_code_heap_create(scene->manager, GRANULE, NULL, &heap) == MOAT_OK, "create");
    must(moat_code_alloc(heap, PAGE, &block) == MOAT_OK, "alloc");
    must(!publish || moat_code_publish(heap, block.execute) == MOAT_OK, "publish");
    must(keep || moat_code_free(heap, block.execute) == MOAT_OK, "free");
    touch_byte(block.execute, how);
}

#define CODE_RESERVED "  reserved #.# s ago by thread # at death_fault_report+# (*)\n"

static void code_is_written(const struct scene *scene) {
    touch_code(scene, true, true, TOUCH_WRITE);
}

static const char code_is_written_text[] =
    "moat: trap: write to read-only memory\n" BY
    "  # is in a committed page, at offset 0 of a heap's region of 65536 bytes [#, #)\n"
    "  its page is PAGE_EXECUTE_READ\n" CODE_RESERVED
    "  hint: code is written through the write view of its block, not where it is executed\n";

static void code_is_unpublished(const struct scene *scene) {
    touch_code(scene, false, true, TOUCH_READ);
}

static const char code_is_unpublished_text[] =
    "moat: trap: read of a page without access rights\n" BY
    "  # is in a committed page, at offset 0 of a heap's region of 65536 bytes [#, #)\n"
    "  its page is PAGE_NOACCESS\n" CODE_RESERVED
    "  hint: a bad pointer, or a block of a code heap before moat_code_publish\n";

static void code_is_freed(const struct scene *scene) {
    touch_code(scene, true, false, TOUCH_READ);
}

static const char code_is_freed_text[] =
    "moat: trap: read of a page that is not committed\n" BY
    "  # is in a page that is not committed, at offset 0 of a heap's region of 65536 bytes "
    "[#, #)\n" CODE_RESERVED
    "  hint: no block is there, or one that was freed; of a code heap, or one that is sealed\n";

static void placeholder(const struct scene *scene) {
    void *base;
    must(moat_placeholder_reserve(scene->manager, NULL, GRANULE, 0, NULL, &base) == MOAT_OK,
         "placeholder");
    touch_byte((unsigned char *)base + 2, TOUCH_READ);
}

static const char placeholder_text[] =
    "moat: trap: read of a placeholder\n" BY
    "  # is at offset 0x2 of a placeholder of 65536 bytes [#, #)\n"
    "  reserved #.# s ago by thread # at death_fault_report+# (*)\n"
    "  hint: replace it with memory before use\n";

/* The region lies anywhere in its stretch of address space, so one side of it has room. */
static void wild(const struct scene *scene) {
    unsigned char *base = must_reserve(scene->manager, GRANULE, true);
    unsigned char *far = base + ((size_t)100 << 20);
    struct moat_description told;
    must(moat_describe_address(far, &told) == MOAT_OK, "describe");
    touch_byte(told.kind == MOAT_ADDRESS_HELD ? far : base - ((size_t)100 << 20), TOUCH_WRITE);
}

static const char wild_text[] = "moat: trap: write far from any region\n" BY
                                "  # is in address space that Moat keeps for regions, near none\n"
                                "  hint: the pointer is wild\n";

/* Moat's own memory is not written by mistake, but just before it there is a guard. */
static void books(const struct scene *scene) {
    uintptr_t at = (uintptr_t)scene->manager;
    struct moat_page_info info;
    must(moat_query((void *)at, &info) == MOAT_OK, "query");
    touch_byte(info.allocation_base, TOUCH_WRITE);
}

static const char books_text[] =
    "moat: trap: write of Moat's own books\n" BY "  # is in Moat's own books or their guards\n"
    "  hint: the pointer is wild\n";

static void had_by_others(const struct scene *scene) {
    const size_t size = (size_t)1 << 30; /* larger than what shares address space with others */
    unsigned char *base = must_reserve(scene->manager, size, false);
    must(moat_release(scene->manager, base) == MOAT_OK, "release");
    must(mmap(base, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
             base,
         "mmap");
    touch_byte(base, TOUCH_WRITE);
}

static const char had_by_others_text[] =
    "moat: trap: write of a mapping where a region was before\n" BY
    "  # is at offset 0 of a mapping of somebody else, of 4096 bytes [#, #)\n"
    "  its page is PAGE_READONLY\n"
    "  before that a region of 1073741824 bytes [#, #) lay there\n"
    "  which was released #.# s ago by thread # at death_fault_report+# (*)\n"
    "  hint: the pointer may have outlived that region\n";

/* The instruction is one of Moat's, which was given a pointer into memory that is gone. */
static void inside_moat(const struct scene *scene) {
    unsigned char *base = must_reserve(scene->manager, GRANULE, true);
    struct moat_stats *gone = (struct moat_stats *)(void *)(base + PAGE);
    must(moat_decommit(scene->manager, base + PAGE, PAGE) == MOAT_OK, "decommit");
    must(moat_stats_read(scene->manager, gone) == MOAT_OK, "stats");
}

static const char inside_moat_text[] =
    "moat: trap: write after decommit\n"
    "  by thread # at death_fault_report+# (*), pc #\n"
    "  # is in a page that was decommitted, at offset # of a region of 65536 bytes "
    "[#, #)\n" RESERVED "  decommitted #.# s ago by thread # at death_fault_report+# (*)\n"
    "  hint: the pages were given back while something still used them\n";

/* --- What is told to nobody --- */

static void null_pointer(const struct scene *scene) {
    (void)must_reserve(scene->manager, GRANULE, true);
    touch_byte((unsigned char *)8, TOUCH_WRITE);
}

static void foreign(const struct scene *scene) {
    (void)scene;
    touch_byte(mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), TOUCH_READ);
}

/* The handler needs a stack of its own to see this at all. */
static void have_stack(size_t size) {
    unsigned char *stack =
        mmap(NULL, size + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(stack != MAP_FAILED && mprotect(stack, PAGE, PROT_NONE) == 0, "stack");
    stack_t own = {.ss_sp = stack + PAGE, .ss_size = size};
    must(sigaltstack(&own, NULL) == 0, "sigaltstack");
}

static int run_over(volatile unsigned char *above) {
    volatile unsigned char here[PAGE];
    here[0] = *above;
    return here[0] == 0 ? run_over(here) + here[0] : 1; /* it stays 0 */
}

static void stack_of_the_main_thread(const struct scene *scene) {
    volatile unsigned char first = 0;
    (void)must_reserve(scene->manager, GRANULE, true);
    have_stack(16 * PAGE);
    must(run_over(&first) == 0, "recursion");
}

/* Frames are larger where variables are kept apart. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FRAMES 4
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define FRAMES 4
#endif
#ifndef FRAMES
#define FRAMES 1
#endif

/* As small as the interface says; beneath it a page that traps. */
static void on_a_small_stack(const struct scene *scene) {
    size_t kernel = getauxval(AT_MINSIGSTKSZ);
    have_stack((kernel ? kernel : (size_t)MINSIGSTKSZ) + FRAMES * (size_t)8192);
    released(scene);
}

int main(void) {
    static const char *const reporting[] = {"faults=report", "faults=report,trap=protect"};
    static const struct {
        void (*play)(const struct scene *scene);
        const char *text;
    } texts[] = {
        {past_the_end, past_the_end_text},
        {past_the_end_by_one, past_the_end_by_one_text},
        {before_the_start, before_the_start_text},
        {uncommitted, uncommitted_text},
        {decommitted, decommitted_text},
        {released, released_text},
        {read_only, read_only_text},
        {no_access, no_access_text},
        {armed, armed_text},
        {executed, executed_text},
        {changed_past_moat, changed_past_moat_text},
        {code_is_written, code_is_written_text},
        {code_is_unpublished, code_is_unpublished_text},
        {code_is_freed, code_is_freed_text},
        {placeholder, placeholder_text},
        {wild, wild_text},
        {books, books_text},
        {had_by_others, had_by_others_text},
        {inside_moat, inside_moat_text},
        {null_pointer, ""},
        {foreign, ""},
        {stack_of_the_main_thread, ""},
        {on_a_small_stack, released_text},
    };
    for (unsigned kind = 0; kind < 2; kind++)
        for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++)
            expect_text(reporting[kind], texts[i].play, texts[i].text, KILLED);
    return end_texts();
}
