/* SPDX-License-Identifier: MIT */
/*
 * misuse_race: wrong frees of what other threads reserve, allocate and free at that moment.
 *
 * Each refusal is looked up while everything changes, and is reported once; of racing frees one
 * wins; whoever is told can call Moat. What the reports say cannot be foretold here, but that they
 * are whole can be seen.
 */
#include "support/core.h"

#include <moat/heap.h>
#include <moat/report.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

enum { THREADS = 4, SLOTS = 4, RW = MOAT_PAGE_READWRITE };

static unsigned rounds;
static struct moat_manager *manager;
static struct moat_heap *heap;
static unsigned char *_Atomic regions[SLOTS];
static unsigned char *_Atomic blocks[SLOTS];
static atomic_uint told, refused, kinds[MOAT_FOUND_KINDS];

static void on_finding(const struct moat_finding *finding, void *context) {
    struct moat_page_info info;
    CHECK(finding->length == strlen(finding->text), "%s", finding->text);
    CHECK(strncmp(finding->text, "moat: ", 6) == 0, "%s", finding->text);
    CHECK(strncmp(finding->text + 6, moat_finding_name(finding->kind), 4) == 0, "%s",
          finding->text);
    CHECK(finding->text[finding->length - 1] == '\n', "%s", finding->text);
    CHECK(moat_query(finding->address, &info) == MOAT_OK, "%s", finding->text);
    atomic_fetch_add((atomic_uint *)context, 1);
    atomic_fetch_add(&kinds[finding->kind], 1);
}

static unsigned char *new_region(void) {
    void *base;
    CHECK(moat_reserve(manager, NULL, 2 * GRANULE, RW, MOAT_RESERVE_COMMIT, &base) == MOAT_OK, "%s",
          moat_last_error_text());
    return base;
}

static unsigned char *new_block(uint64_t *state) {
    static const size_t sizes[] = {100, 5000, 100000};
    void *block;
    CHECK(moat_heap_alloc(heap, sizes[core_below(state, 3)], &block) == MOAT_OK, "%s",
          moat_last_error_text());
    return block;
}

/* Count a refusal; only these can come. */
static void expect_refusal(enum moat_status status) {
    CHECK(status == MOAT_NOT_OURS || status == MOAT_LEAVES_REGION || status == MOAT_INVALID_ADDRESS,
          "%s: %s", moat_status_describe(status)->name, moat_last_error_text());
    CHECK(moat_last_error_text()[0] != '\0', "a text");
    atomic_fetch_add(&refused, 1);
}

static void misuse_region(uint64_t *state, unsigned slot) {
    unsigned char *base = atomic_load(&regions[slot]);
    enum moat_status status;
    uint32_t old;

    switch (core_below(state, 5)) {
    case 0:
        status = moat_release(manager, base);
        if (status)
            expect_refusal(status);
        if (core_below(state, 4) == 0) { /* not at once: what is stale is freed again, too */
            unsigned char *fresh = new_region();
            if (status && !atomic_compare_exchange_strong(&regions[slot], &base, fresh))
                CHECK(moat_release(manager, fresh) == MOAT_OK, "%s", moat_last_error_text());
            else if (!status)
                atomic_store(&regions[slot], fresh);
        }
        break;
    case 1:
        expect_refusal(moat_release(manager, base + PAGE));
        break;
    case 2:
        expect_refusal(moat_decommit(manager, base, 2 * GRANULE + 1));
        break;
    case 3:
        status = moat_decommit(manager, base + PAGE, PAGE);
        if (status)
            expect_refusal(status);
        break;
    default:
        status = moat_protect(manager, base, 2 * PAGE, RW, &old);
        if (status)
            expect_refusal(status);
    }
}

static void misuse_block(uint64_t *state, unsigned slot) {
    unsigned char *block = atomic_load(&blocks[slot]);

    if (core_below(state, 2) == 0) {
        expect_refusal(moat_heap_free(heap, block + 8));
        return;
    }
    enum moat_status status = moat_heap_free(heap, block);
    if (status)
        expect_refusal(status);
    if (core_below(state, 4) == 0)
        atomic_store(&blocks[slot], new_block(state));
}

static void misuse(unsigned number) {
    uint64_t state = number + 1;
    for (unsigned round = 0; round < rounds; round++) {
        unsigned slot = core_below(&state, SLOTS);
        if (core_below(&state, 2))
            misuse_region(&state, slot);
        else
            misuse_block(&state, slot);
    }
}

static void play(const char *words, bool is_told) {
    struct moat_options options;
    uint64_t state = 1;

    moat_options_init(&options);
    CHECK(moat_options_parse(&options, words, NULL, 0) == MOAT_OK, "%s", words);
    options.report_function = on_finding;
    options.report_context = &told;
    CHECK(moat_manager_create(&options, &manager) == MOAT_OK, "%s", moat_last_error_text());
    CHECK(moat_heap_create(manager, 0, &heap) == MOAT_OK, "%s", moat_last_error_text());
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        regions[slot] = new_region();
        blocks[slot] = new_block(&state);
    }
    told = refused = 0;
    core_run(THREADS, misuse);
    CHECK(told == (is_told ? refused : 0), "%u told, %u refused", told, refused);
    CHECK(refused > 0, "nothing was refused");
    moat_heap_destroy(heap);
    moat_manager_destroy(manager);
}

int main(int argc, char **argv) {
    rounds = core_scale(argc, argv, 4000);
    play("misuse=fail", false);
    play("misuse=fail,trap=protect", false);
    rounds = core_scale(argc, argv, 400);
    play("misuse=report", true);
    play("misuse=report,trap=protect,heap_poison=on", true);
    for (unsigned kind = 0; kind < MOAT_FOUND_KINDS; kind++)
        if (kinds[kind])
            printf("%u %s\n", kinds[kind], moat_finding_name((enum moat_finding_kind)kind));
    return EXIT_SUCCESS;
}
