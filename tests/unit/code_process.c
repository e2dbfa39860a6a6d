/* SPDX-License-Identifier: MIT */
/*
 * code_process: what a code heap is to the rest of the process: its descriptors and limits, its
 * core dump, its children.
 */
#define _GNU_SOURCE
#include "support/code.h"
#include "support/smaps.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(code_process, .init = code_set_up, .fini = code_tear_down);

/* A heap holds no descriptor that others could close, or that a child could use. */
Test(code_process, no_descriptor_stays_open) {
    int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct moat_code_heap *made;
    cr_assert_eq(moat_code_heap_create(code_manager, PAGE, NULL, &made), MOAT_OK);
    int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(after, before + 1);
    moat_code_heap_destroy(made);
    close(before);
    close(after);
}

/* Growing a file past the limit kills by default; here it is a refusal. */
Test(code_process, a_limit_of_file_sizes_is_an_answer) {
    struct rlimit before, limit;
    struct moat_code_heap *made;
    getrlimit(RLIMIT_FSIZE, &before);
    limit = (struct rlimit){PAGE, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    cr_assert_eq(moat_code_heap_create(code_manager, HEAP, NULL, &made), MOAT_NO_MEMORY);
    cr_assert_null(made);
    setrlimit(RLIMIT_FSIZE, &before);
}

static int in_child(int (*run)(void)) {
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(run());
    cr_assert_eq(waitpid(child, &status, 0), child);
    return status;
}

static struct moat_code_block parents;

static int use_in_child(void) {
    struct moat_code_block block;
    struct moat_page_info info;
    if (*(volatile unsigned char *)parents.execute != 0xC3)
        return 1;
    if (moat_code_alloc(code_heap, 1, &block) != MOAT_NOT_SUPPORTED ||
        moat_code_free(code_heap, parents.execute) != MOAT_NOT_SUPPORTED ||
        moat_code_open(code_heap, parents.execute, NULL) != MOAT_NOT_SUPPORTED ||
        moat_code_seal(code_heap, parents.execute) != MOAT_NOT_SUPPORTED ||
        moat_code_publish(code_heap, parents.execute) != MOAT_NOT_SUPPORTED)
        return 2;
    if (moat_query(parents.write, &info) != MOAT_OK || info.state != MOAT_STATE_FREE)
        return 3;
    moat_code_heap_destroy(code_heap);
    if (moat_query(parents.execute, &info) != MOAT_OK || info.state != MOAT_STATE_FREE)
        return 4;
    moat_manager_destroy(code_manager);
    return 0;
}

static int write_in_child(void) {
    *(volatile unsigned char *)parents.write = 1;
    return 0;
}

static int destroy_manager_alone(void) {
    moat_manager_destroy(code_manager);
    struct moat_manager *another;
    return moat_manager_create(NULL, &another) != MOAT_OK;
}

Test(code_process, a_child_can_execute_and_not_write) {
    parents = code_alloc(PAGE);
    memset(parents.write, 0xC3, PAGE);
    cr_assert_eq(moat_code_publish(code_heap, parents.execute), MOAT_OK);
    int status = in_child(use_in_child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%#x", (unsigned)status);
    status = in_child(write_in_child);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "%#x", (unsigned)status);
    status = in_child(destroy_manager_alone);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%#x", (unsigned)status);
    cr_assert_eq(*(unsigned char *)parents.execute, 0xC3, "the parent's code is what it was");
    cr_assert_eq(moat_code_free(code_heap, parents.execute), MOAT_OK);
}

static int look_in_child(void) {
    struct moat_page_info info;
    if (moat_query(parents.execute, &info) != MOAT_OK)
        return 1;
    moat_code_heap_destroy(code_heap);
    return *code_rights(parents.execute) != '\0';
}

Test(code_process, with_another_fork_policy_a_child_has_neither) {
    code_instead("fork=dontfork");
    parents = code_alloc(PAGE);
    cr_assert_eq(moat_code_publish(code_heap, parents.execute), MOAT_OK);
    int status = in_child(look_in_child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%#x", (unsigned)status);
}

Test(code_process, dumps_hold_published_blocks_alone) {
    struct moat_code_block block = code_alloc(PAGE);
    cr_assert(smaps_flag(block.execute, "dd"));
    cr_assert(smaps_flag(block.write, "dd"));
    cr_assert_eq(moat_code_publish(code_heap, block.execute), MOAT_OK);
    cr_assert_not(smaps_flag(block.execute, "dd"));
    cr_assert(smaps_flag((char *)block.execute + PAGE, "dd"));
    cr_assert(smaps_flag(block.write, "dd"));
    cr_assert_eq(moat_code_free(code_heap, block.execute), MOAT_OK);
    cr_assert(smaps_flag(block.execute, "dd"));
}

Test(code_process, or_nothing_if_nothing_is_to_be_dumped) {
    code_instead("dump=none");
    struct moat_code_block block = code_alloc(PAGE);
    cr_assert_eq(moat_code_publish(code_heap, block.execute), MOAT_OK);
    cr_assert(smaps_flag(block.execute, "dd"));
}
