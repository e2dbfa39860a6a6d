/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "work.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum {
    PAGE = 4096,
    RING = 64,
    QUEUE = 64,
    SIZES = 1024, /* drawn for the ring; all threads and contenders go round the same ones */
    LINE = 64,
    BATCH_MAX = 4096,
    SPINS = 64,
};

static const uint64_t mark = 0x6d6f6174626e6368u;
static const double batch_ns = 1e5;

struct parcel {
    void *memory;   /* NULL: the taker's turn is over */
    uint64_t spent; /* ns that taking it took */
};

/* Between a taker and a giver: each writes one index.
 *   parcel   the taker's tail -> the giver: the parcel is there
 *   room     the giver's head -> the taker: its place is free */
struct queue {
    _Alignas(LINE) _Atomic uint32_t tail;
    _Alignas(LINE) _Atomic uint32_t head;
    _Alignas(LINE) struct parcel parcels[QUEUE];
};

/* All that a thread writes while it works, in pages of its own. */
struct lane {
    _Alignas(PAGE) unsigned index;
    uint32_t step;   /* in sizes */
    uint64_t random; /* coins */
    uint32_t batch;
    uint64_t count, dirty, failed;
    uint64_t begin, end; /* ns */
    unsigned oldest;     /* in ring */
    void *ring[RING];
    size_t ring_sizes[RING];
    struct queue *queue;
    struct latency latency;
};

static struct work work;
static struct lane *lanes;
static pthread_barrier_t starting, ending;
static size_t sizes[SIZES];

/* Of the turn; written while the threads sleep at the barrier. */
static uint64_t duration; /* ns */
static bool timed;

/* When the turn is over; 0 until the first thread has begun it. */
static _Atomic uint64_t turn_end;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t draw(uint64_t *state) {
    uint64_t value = *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

/* What the other word holds; zero in fresh memory. */
static inline uint64_t touch(char *page, unsigned coin) {
    volatile uint64_t *words = (volatile uint64_t *)(void *)page;
    words[coin] = mark;
    return words[coin ^ 1];
}

static void touch_pages(struct lane *lane, char *memory, size_t size) {
    unsigned coin = draw(&lane->random) & 1;
    uint64_t found = 0;

    for (size_t at = 0; at < size; at += PAGE)
        found |= touch(memory + at, coin);
    lane->dirty += found != 0;
}

static void touch_ends(struct lane *lane, char *memory, size_t size) {
    unsigned coin = draw(&lane->random) & 1;
    uint64_t found = touch(memory, coin) | touch(memory + size - PAGE, coin);
    lane->dirty += found != 0;
}

static void *take(struct lane *lane, size_t size) {
    void *memory = work.allocator->take(size);
    lane->failed += memory == NULL;
    return memory;
}

static void give(struct lane *lane, void *memory, size_t size) {
    lane->failed += !work.allocator->give(memory, size);
}

static void life(struct lane *lane) {
    void *memory = take(lane, work.size);
    if (memory == NULL)
        return;
    if (work.touched)
        touch_pages(lane, memory, work.size);
    give(lane, memory, work.size);
}

static void ring(struct lane *lane) {
    unsigned at = lane->oldest;
    size_t size = sizes[lane->step];

    lane->step = (lane->step + 1) % SIZES;
    lane->oldest = (at + 1) % RING;
    if (lane->ring[at] != NULL)
        give(lane, lane->ring[at], lane->ring_sizes[at]);
    lane->ring[at] = take(lane, size);
    lane->ring_sizes[at] = size;
    if (lane->ring[at] != NULL)
        touch_ends(lane, lane->ring[at], size);
}

/* Look a few times, and then let the other side run: it may need this processor. */
static void pause_for(unsigned *spins) {
    if (++*spins >= SPINS)
        sched_yield();
}

static void put(struct queue *queue, struct parcel parcel) {
    /* relaxed: only this thread writes it. */
    uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    unsigned spins = 0;

    /* A(room). */
    while (tail - atomic_load_explicit(&queue->head, memory_order_acquire) == QUEUE)
        pause_for(&spins);
    queue->parcels[tail % QUEUE] = parcel;
    /* R(parcel). */
    atomic_store_explicit(&queue->tail, tail + 1, memory_order_release);
}

static struct parcel get(struct queue *queue) {
    /* relaxed: only this thread writes it. */
    uint32_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    unsigned spins = 0;
    struct parcel parcel;

    /* A(parcel). */
    while (atomic_load_explicit(&queue->tail, memory_order_acquire) == head)
        pause_for(&spins);
    parcel = queue->parcels[head % QUEUE];
    /* R(room). */
    atomic_store_explicit(&queue->head, head + 1, memory_order_release);
    return parcel;
}

static void handover(struct lane *lane) {
    uint64_t begun = timed ? now() : 0;
    void *memory = take(lane, work.size);

    if (memory == NULL)
        return;
    touch_ends(lane, memory, work.size);
    put(lane->queue, (struct parcel){memory, timed ? now() - begun : 0});
}

/* The giver's turn: it counts the operations, and their time is the sum of both calls. */
static void give_all(struct lane *lane) {
    for (struct parcel parcel; (parcel = get(lane->queue)).memory != NULL; lane->count++) {
        uint64_t begun = timed ? now() : 0;
        give(lane, parcel.memory, work.size);
        if (timed)
            latency_add(&lane->latency, parcel.spent + now() - begun);
    }
}

static void once(struct lane *lane) {
    if (work.row == WORK_LIFE)
        life(lane);
    else if (work.row == WORK_RING)
        ring(lane);
    else
        handover(lane);
}

static void once_timed(struct lane *lane) {
    uint64_t begun = now();
    once(lane);
    latency_add(&lane->latency, now() - begun);
}

/* Until the time is over; the giver of a handover counts for both. */
static void repeat(struct lane *lane) {
    bool both = work.row == WORK_HANDOVER;
    uint64_t count = 0, end, deadline = 0;

    /* relaxed: nothing but the number matters, and the first one stands. */
    if (atomic_compare_exchange_strong_explicit(&turn_end, &deadline, lane->begin + duration,
                                                memory_order_relaxed, memory_order_relaxed))
        deadline = lane->begin + duration;
    do {
        for (uint32_t i = 0; i < lane->batch; i++) {
            if (timed && !both)
                once_timed(lane);
            else
                once(lane);
        }
        count += lane->batch;
        end = now();
    } while (end < deadline && lane->failed == 0);
    if (both)
        put(lane->queue, (struct parcel){NULL, 0});
    else
        lane->count = count;
    double batch = (double)count * batch_ns / (double)(end - lane->begin + 1);
    lane->batch = batch < 1 ? 1 : batch > BATCH_MAX ? BATCH_MAX : (uint32_t)batch;
}

/* The processors that this process may use, thread by thread in turn. */
static void pin(unsigned index) {
    cpu_set_t allowed, one;
    unsigned count, left;

    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    count = (unsigned)CPU_COUNT(&allowed);
    left = index % (count == 0 ? 1 : count);
    CPU_ZERO(&one);
    for (unsigned i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &allowed) && left-- == 0)
            CPU_SET(i, &one);
    sched_setaffinity(0, sizeof one, &one);
}

static void *run(void *argument) {
    struct lane *lane = argument;

    pin(lane->index);
    for (;;) {
        pthread_barrier_wait(&starting);
        lane->count = lane->dirty = lane->failed = 0;
        lane->begin = now();
        if (work.row == WORK_HANDOVER && lane->index % 2 == 1)
            give_all(lane);
        else
            repeat(lane);
        lane->end = now();
        pthread_barrier_wait(&ending);
    }
    return NULL;
}

static void draw_sizes(void) {
    const double octaves = 6; /* 64 KiB to 4 MiB */
    uint64_t state = 1;

    for (unsigned i = 0; i < SIZES; i++) {
        double share = (double)(draw(&state) >> 11) / 9007199254740992.0;
        sizes[i] = (size_t)lround(exp2(octaves * share)) * 65536;
    }
}

static void *map_zeroed(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

bool work_start(const struct work *asked) {
    pthread_t thread;
    struct queue *queues = map_zeroed(sizeof *queues * (asked->threads / 2 + 1));

    work = *asked;
    draw_sizes();
    lanes = map_zeroed(sizeof *lanes * work.threads);
    if (lanes == NULL || queues == NULL ||
        pthread_barrier_init(&starting, NULL, work.threads + 1) != 0 ||
        pthread_barrier_init(&ending, NULL, work.threads + 1) != 0)
        return false;
    for (unsigned i = 0; i < work.threads; i++) {
        lanes[i].index = i;
        lanes[i].random = i;
        lanes[i].batch = 1;
        lanes[i].step = i * (SIZES / WORK_THREADS_MAX) % SIZES;
        lanes[i].queue = &queues[i / 2];
        if (pthread_create(&thread, NULL, run, &lanes[i]) != 0)
            return false;
    }
    return true;
}

static double cpu_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

void work_turn(double milliseconds, struct latency *latency, struct turn *turn) {
    uint64_t begin = UINT64_MAX, end = 0;

    timed = latency != NULL;
    for (unsigned i = 0; timed && i < work.threads; i++)
        memset(&lanes[i].latency, 0, sizeof lanes[i].latency);
    memset(turn, 0, sizeof *turn);
    turn->cpu = -cpu_now();
    duration = (uint64_t)(milliseconds * 1e6);
    /* relaxed: the barrier orders it before the threads' reads. */
    atomic_store_explicit(&turn_end, 0, memory_order_relaxed);
    pthread_barrier_wait(&starting);
    pthread_barrier_wait(&ending);
    turn->cpu += cpu_now();
    for (unsigned i = 0; i < work.threads; i++) {
        const struct lane *lane = &lanes[i];
        begin = lane->begin < begin ? lane->begin : begin;
        end = lane->end > end ? lane->end : end;
        turn->count += lane->count;
        turn->dirty += lane->dirty;
        turn->failed += lane->failed;
        for (unsigned k = 0; timed && k < LATENCY_BUCKETS; k++)
            latency->counts[k] += lane->latency.counts[k];
        if (timed && lane->latency.longest > latency->longest)
            latency->longest = lane->latency.longest;
    }
    turn->wall = (double)(end - begin);
}
