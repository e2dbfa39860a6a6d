/* SPDX-License-Identifier: MIT */
/* epoch: options by chance, a few threads, signals, and books that have to be empty in the end. */
#define _GNU_SOURCE
#include "epoch.h"

#include "forks.h"
#include "others.h"
#include "refuse.h"
#include "regions.h"
#include "traps.h"

#include <moat/describe.h>
#include <moat/pressure.h>
#include <moat/report.h>
#include <moat/space.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    CODE_HEAP = 1 << 20,
    REFUSED_RATE = 4000,
    SIGNAL_US = 3000,
    KINDS_DRAWN = 4,
    PRESS_AFTER_US = 20000
};

const char *const mode_names[MODES] = {"plain", "refused", "at limit"};

static unsigned acts_wanted;

static void on_finding(const struct moat_finding *finding, void *context) {
    (void)context;
    atomic_fetch_add(&tally.findings, 1);
    EXPECT(ORACLE_BOOKS,
           finding->kind != MOAT_FOUND_CORRUPTION && finding->kind != MOAT_FOUND_WRITE_AFTER_FREE,
           "%s", finding->text);
}

static void on_pressure(enum moat_memory_level level, void *context) {
    (void)level;
    (void)context;
    atomic_fetch_add(&tally.notices, 1);
}

/* Any address that is of interest: it has to answer, wherever the thread stands. */
static void on_alarm(int signal) {
    static _Atomic unsigned turn;
    int saved = errno;
    uint64_t *held = refuse_hold();
    unsigned now = atomic_fetch_add(&turn, 1);
    const void *at =
        (const void *)(now % 2 ? atomic_load(&world.shared[now / 2 % SHARED]) : (uintptr_t)&saved);
    struct moat_page_info info;
    struct moat_description told;

    (void)signal;
    EXPECT(ORACLE_QUERY,
           moat_query(at, &info) == MOAT_OK && info.size != 0 &&
               (uintptr_t)info.base == (uintptr_t)at / PAGE * PAGE,
           "a query in a handler");
    EXPECT(ORACLE_QUERY, moat_describe_address(at, &told) == MOAT_OK, "a description in a handler");
    atomic_fetch_add(&tally.signals, 1);
    refuse_resume(held);
    errno = saved;
}

/* Words of options; one of each line. */
#define CHOICES 6

/* Regions that differ in these lie in arenas of their own, whose books stay for ever: so a run
 * draws a few sets of them, and no epoch has others. */
static const char *const kind_choices[][CHOICES] = {
    {"trap=auto", "trap=auto", "trap=protect"},
    {"commit=lazy", "commit=lazy", "commit=populate", "commit=huge"},
    {"fork=inherit", "fork=inherit", "fork=dontfork", "fork=wipe"},
    {"dump=committed", "dump=none"},
};

static const char *const choices[][CHOICES] = {
    {"retain=64M", "retain=4M", "retain=0"},
    {"defer=0", "defer=0", "defer=8,defer_ms=5", "defer=64,defer_bytes=1M"},
    {"quarantine=64", "quarantine=0", "quarantine=4", "quarantine=512,quarantine_bytes=256M"},
    {"guard_before=1", "guard_before=3,guard_after=2", "guard_random=16"},
    {"placing=random", "placing=packed"},
    {"zero=reuse", "zero=reuse", "zero=release"},
    {"watch=auto", "watch=fault"},
    {"execute=any", "execute=wx"},
    {"heap_poison=off", "heap_poison=on"},
    {"quota=0", "quota=0", "quota=48M,reserve=4M"},
    {"deny_commit=0", "deny_commit=0", "deny_commit=0", "deny_commit=5000,deny_reserve=5000"},
    {"misuse=fail", "misuse=report"},
};

static void set(struct moat_options *options, const char *word) {
    char error[128];

    EXPECT(ORACLE_STATUS, moat_options_parse(options, word, error, sizeof error) == MOAT_OK, "%s",
           error);
}

static void draw(struct moat_options *options, const char *const (*lines)[CHOICES], size_t count,
                 uint64_t *random) {
    for (size_t i = 0; i < count; i++) {
        unsigned words = 0;

        while (words < CHOICES && lines[i][words])
            words++;
        set(options, lines[i][soak_below(random, words)]);
    }
}

static struct moat_manager *create(uint64_t *random, const char *more) {
    uint64_t kind = world.seed + soak_below(random, KINDS_DRAWN);
    struct moat_options options;
    struct moat_manager *manager;

    moat_options_init(&options);
    options.report_function = on_finding;
    draw(&options, kind_choices, sizeof kind_choices / sizeof kind_choices[0], &kind);
    draw(&options, choices, sizeof choices / sizeof choices[0], random);
    set(&options, more);
    EXPECT(ORACLE_STATUS, moat_manager_create(&options, &manager) == MOAT_OK, "no manager");
    return manager;
}

static void begin(uint64_t *random) {
    for (unsigned i = 0; i < MANAGERS; i++) {
        world.manager[i] = create(random, "timeout=600000");
        soak_answered(ACT_HEAP_ALLOC, moat_heap_create(world.manager[i], 0, &world.heap[i]),
                      ONLY_OK, i);
        soak_answered(ACT_CODE,
                      moat_code_heap_create(world.manager[i], CODE_HEAP, NULL, &world.code[i]),
                      ONLY_OK | SET(MOAT_NOT_SUPPORTED), i);
    }
    world.meeting_place =
        create(random, soak_chance(random, 2)
                           ? "timeout=1,quota=0,reserve=0,deny_commit=0,deny_reserve=0"
                           : "timeout=50,quota=0,reserve=0,deny_commit=0,deny_reserve=0");
    if (soak_chance(random, 3))
        soak_answered(ACT_PRESSURE, moat_pressure_watch(world.manager[0], on_pressure, NULL),
                      ONLY_OK | SET(MOAT_NOT_SUPPORTED), MANAGERS);
    for (unsigned i = 0; i < THREADS; i++) {
        memset(&threads[i], 0, sizeof threads[i]);
        threads[i].number = i;
        threads[i].random = *random + i * UINT64_C(0x5851f42d4c957f2d);
        threads[i].next_token = i << 24;
    }
}

static void *run(void *argument) {
    struct thread *self = argument;

    for (unsigned i = 0; i < acts_wanted; i++) {
        unsigned what = soak_below(&self->random, 1000);

        if (what < 600)
            regions_act(self);
        else if (what < 740)
            shared_act(self);
        else if (what < 890)
            heap_act(self);
        else if (what < 950)
            code_act(self);
        else if (what < 980)
            placeholder_act(self);
        else if (what < 995)
            managers_act(self);
        else if (!facts_pressed()) /* to copy so many mappings takes too long */
            forks_act(self);
    }
    return NULL;
}

static void run_threads(enum mode mode) {
    const struct itimerval often = {{0, SIGNAL_US}, {0, SIGNAL_US}}, never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    pthread_t thread[THREADS];

    sigaction(SIGALRM, &action, NULL);
    for (unsigned i = 0; i < THREADS; i++)
        EXPECT(ORACLE_STATUS, pthread_create(&thread[i], NULL, run, &threads[i]) == 0, "no thread");
    setitimer(ITIMER_REAL, &often, NULL);
    if (mode == MODE_AT_LIMIT) {
        usleep(PRESS_AFTER_US);
        (void)facts_press_mappings();
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    facts_ease_mappings();
    setitimer(ITIMER_REAL, &never, NULL);
}

static void give_back(struct thread *self) {
    for (unsigned i = 0; i < OBJECTS; i++) {
        struct object *object = &self->object[i];

        if (!object->base)
            continue;
        regions_check(object);
        if (soak_springs(PLANT_LEAK))
            continue;
        regions_end(self, object, true);
    }
    heap_check(self);
    heap_end(self);
    code_end(self);
}

/* Bytes that were lost in an epoch of refusals: they stay lost to the process. */
static uint64_t lost;

/* Nothing is left; and where nothing was refused, nothing went wrong on the way. */
static void reconcile(struct moat_manager *manager, enum mode mode) {
    struct moat_stats stats;

    soak_answered(ACT_FLUSH, moat_flush(manager), ONLY_OK, MANAGERS);
    EXPECT(ORACLE_BOOKS, moat_stats_read(manager, &stats) == MOAT_OK, "no counters");
    EXPECT(ORACLE_BOOKS,
           stats.regions_live == 0 && stats.bytes_reserved == 0 && stats.bytes_committed == 0 &&
               stats.deferred_regions == 0 && stats.adopted_regions == 0,
           "%llu regions, %llu bytes reserved, %llu committed, %llu deferred are left",
           (unsigned long long)stats.regions_live, (unsigned long long)stats.bytes_reserved,
           (unsigned long long)stats.bytes_committed, (unsigned long long)stats.deferred_regions);
    EXPECT(ORACLE_BOOKS, stats.poison_damage == 0 && stats.locks_abandoned == 0,
           "%llu pages are damaged, %llu locks abandoned", (unsigned long long)stats.poison_damage,
           (unsigned long long)stats.locks_abandoned);
    if (mode != MODE_PLAIN && stats.stranded_bytes > lost)
        lost = stats.stranded_bytes;
    EXPECT(ORACLE_BOOKS,
           mode != MODE_PLAIN || (stats.guard_failures == 0 && stats.stranded_bytes <= lost),
           "%llu guards failed, %llu bytes are stranded", (unsigned long long)stats.guard_failures,
           (unsigned long long)stats.stranded_bytes);
}

static void end(enum mode mode) {
    size_t given;

    for (unsigned i = 0; i < THREADS; i++)
        give_back(&threads[i]);
    shared_end();
    for (unsigned i = 0; i < MANAGERS; i++) {
        moat_heap_destroy(world.heap[i]);
        moat_code_heap_destroy(world.code[i]);
        reconcile(world.manager[i], mode);
        moat_manager_destroy(world.manager[i]);
    }
    reconcile(world.meeting_place, mode);
    moat_manager_destroy(world.meeting_place);
    soak_answered(ACT_TRIM, moat_trim(NULL, 0, &given), ONLY_OK | SET(MOAT_NO_MEMORY), MANAGERS);
}

struct facts epoch_play(uint64_t seed, enum mode mode, unsigned acts) {
    uint64_t random = seed;

    acts_wanted = acts;
    world.is_short = false;
    begin(&random);
    world.is_short = mode != MODE_PLAIN;
    refuse_rate(mode == MODE_REFUSED ? REFUSED_RATE : 0);
    run_threads(mode);
    refuse_rate(0);
    world.is_short = false;
    forks_expect_none();
    end(mode);
    struct facts facts = facts_read();
    facts.stranded = lost;
    return facts;
}
