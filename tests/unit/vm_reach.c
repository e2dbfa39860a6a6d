/* SPDX-License-Identifier: MIT */
/*
 * vm_reach: what still reaches pages that trap, as SECURITY.md has it. These are not promises of
 * Moat but of the kernel: where one changes, that text is to change.
 */
#define _GNU_SOURCE
#include "support/regions.h"
#include "support/touch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static ssize_t through_memory_file(const void *page, char *byte) {
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    if (memory < 0)
        cr_skip_test("no /proc/self/mem");
    ssize_t count = pread(memory, byte, 1, (off_t)(uintptr_t)page);
    int error = errno;
    close(memory);
    errno = error;
    return count;
}

static ssize_t through_process_vm(void *page, char *byte) {
    const struct iovec to = {byte, 1}, from = {page, 1};
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0);
}

/* A page in the middle of a block that is in use, decommitted. */
static unsigned char *decommitted(struct moat_manager *manager) {
    unsigned char *base = reserved(manager, 20 * PAGE, true);
    memset(base, 's', 20 * PAGE);
    cr_assert_eq(moat_decommit(manager, base + 5 * PAGE, PAGE), MOAT_OK);
    cr_assert_not(touch_reads(base + 5 * PAGE));
    return base + 5 * PAGE;
}

Test(vm_reach, a_marker_keeps_the_memory_file_out) {
    struct moat_manager *manager = manager_with("trap=markers");
    char byte = 0;
    if (!manager)
        cr_skip_test("this kernel has no guard markers");
    unsigned char *page = decommitted(manager);
    cr_assert_eq(through_memory_file(page, &byte), (ssize_t)-1);
    cr_assert_eq(errno, EIO);
    cr_assert_eq(through_process_vm(page, &byte), (ssize_t)-1);
    cr_assert_eq(errno, EFAULT);
}

Test(vm_reach, pages_without_rights_are_read_by_the_memory_file_and_hold_nothing) {
    struct moat_manager *manager = manager_with("trap=protect");
    char byte = 'x';
    unsigned char *page = decommitted(manager);
    ssize_t count = through_memory_file(page, &byte);
    cr_assert(count == 1 ? byte == 0 : errno == EIO, "%zd, %d", count, byte);
    cr_assert_eq(through_process_vm(page, &byte), (ssize_t)-1);
    cr_assert_eq(errno, EFAULT);
}

/* What PAGE_NOACCESS takes away is access, and not content. */
Test(vm_reach, no_access_keeps_content_where_the_memory_file_finds_it) {
    struct moat_manager *manager = manager_with("");
    unsigned char *base = reserved(manager, PAGE, true);
    uint32_t old;
    char byte = 0;
    *base = 's';
    cr_assert_eq(moat_protect(manager, base, PAGE, MOAT_PAGE_NOACCESS, &old), MOAT_OK);
    cr_assert_eq(through_process_vm(base, &byte), (ssize_t)-1);
    ssize_t count = through_memory_file(base, &byte);
    cr_assert(count == 1 ? byte == 's' : errno == EIO, "%zd, %d", count, byte);
}
