/* SPDX-License-Identifier: MIT */
/*
 * habit: what is guessed follows what the kernel says of a few, and what must be right is asked.
 */
#define _GNU_SOURCE
#include "os/os.h"
#include "region/habit.h"
#include "region/region.h"
#include "support/regions.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 16 * PAGE, ROUNDS = 200 };

static unsigned char *memory;

static void start(void) {
    stay_on_one_processor();
    cr_assert_eq(moat_region_start(), MOAT_OK);
    memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(memory, MAP_FAILED);
}

TestSuite(region_habit, .init = start);

static enum moat_habit judge(size_t pages_touched) {
    cr_assert_eq(madvise(memory, SIZE, MADV_DONTNEED), 0);
    for (size_t i = 0; i < pages_touched; i++)
        memory[i * PAGE] = 1;
    return moat_habit_judge((uintptr_t)memory, (uintptr_t)memory + SIZE);
}

/* Judge until it has been asked often enough. */
static enum moat_habit settle(size_t pages_touched) {
    enum moat_habit habit = MOAT_HABIT_EMPTY;
    for (unsigned i = 0; i < ROUNDS; i++)
        habit = judge(pages_touched);
    return habit;
}

Test(region_habit, nothing_is_thought_of_what_was_never_asked_about) {
    cr_assert_eq(moat_habit_of(SIZE), MOAT_HABIT_EMPTY);
}

Test(region_habit, guesses_follow_what_is_touched) {
    cr_assert_eq(settle(16), MOAT_HABIT_DENSE);
    cr_assert_eq(moat_habit_of(SIZE), MOAT_HABIT_DENSE);
    cr_assert_eq(moat_habit_of(4 * SIZE), MOAT_HABIT_EMPTY, "another size is another matter");
}

Test(region_habit, some_are_few_up_to_three_quarters) {
    cr_assert_eq(settle(1), MOAT_HABIT_SPARSE);
    cr_assert_eq(settle(11), MOAT_HABIT_SPARSE);
    cr_assert_eq(settle(12), MOAT_HABIT_DENSE);
}

Test(region_habit, what_is_empty_is_asked_about_each_time) {
    uintptr_t at = (uintptr_t)memory;

    cr_assert(moat_habit_empty(at, at + SIZE), "nothing was touched");
    memory[SIZE - 1] = 1;
    cr_assert_not(moat_habit_empty(at, at + SIZE));
    cr_assert_eq(madvise(memory, SIZE, MADV_DONTNEED), 0);
    cr_assert_not(moat_habit_empty(at, at + SIZE), "it is not worth asking any more");
    cr_assert_eq(settle(0), MOAT_HABIT_EMPTY);
    cr_assert(moat_habit_empty(at, at + SIZE), "it is again");
}

/* A program that closes all files it does not know may open the pagemap of another process under
 * the same number; what is empty there is not empty here. */
Test(region_habit, what_another_process_has_is_not_believed) {
    struct moat_os_watch watch = {0};
    uintptr_t at = (uintptr_t)memory;
    size_t pages;
    char name[64];
    int hold[2];

    memory[0] = 1;
    if (moat_os_watch_count(&watch, at, at + SIZE, 1, &pages))
        cr_skip_test("this kernel does not tell");
    cr_assert_eq(pages, 1u);
    cr_assert_eq(pipe(hold), 0);
    pid_t child = fork();
    if (child == 0) {
        (void)madvise(memory, SIZE, MADV_DONTNEED);
        (void)write(hold[1], "", 1);
        pause();
    }
    cr_assert_eq(read(hold[0], name, 1), 1);
    snprintf(name, sizeof name, "/proc/%d/pagemap", (int)child);
    int file = open(name, O_RDONLY), number = (int)atomic_load(&watch.pagemap) - 1;
    cr_assert_geq(file, 0);
    cr_assert_eq(dup2(file, number), number);
    int refused = moat_os_watch_count(&watch, at, at + SIZE, 1, &pages);
    int again = moat_os_watch_count(&watch, at, at + SIZE, 1, &pages);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    cr_assert_neq(refused, 0);
    cr_assert_eq(again, 0);
    cr_assert_eq(pages, 1u);
}

/* Pages that came with memory all hold something: only fresh ones can tell that habits changed. */
Test(region_habit, fresh_memory_is_taken_now_and_then_and_is_what_is_asked_about) {
    uintptr_t at = (uintptr_t)memory, other = at + PAGE;
    unsigned fresh = 0;

    cr_assert_not(moat_habit_recycles(at, at + SIZE), "not dense yet");
    cr_assert_eq(settle(16), MOAT_HABIT_DENSE);
    cr_assert_eq(judge(0), MOAT_HABIT_DENSE, "no sample is out, so nobody asks");
    for (unsigned i = 0; i < 1280; i++) {
        bool takes_fresh = !moat_habit_recycles(at, at + SIZE);
        fresh += takes_fresh;
        if (takes_fresh)
            cr_assert_eq(judge(16), MOAT_HABIT_DENSE);
    }
    cr_assert(fresh >= 12 && fresh <= 16, "%u times, often at first, then once in 128", fresh);
    while (moat_habit_recycles(at, at + SIZE))
        ;
    cr_assert_eq(moat_habit_judge(other, other + SIZE), MOAT_HABIT_DENSE, "not the sample");
    cr_assert_eq(judge(0), MOAT_HABIT_EMPTY, "the sample");
    cr_assert_eq(moat_habit_of(SIZE), MOAT_HABIT_EMPTY);
}
