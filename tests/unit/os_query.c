/* SPDX-License-Identifier: MIT */
/*
 * Both rungs of the query, the question to the kernel and the text, are made to answer the same
 * questions about every kind of mapping.
 */
#define _GNU_SOURCE
#include "os/linux_internal.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = MOAT_PAGE_BYTES, READ_WRITE = MOAT_OS_READ | MOAT_OS_WRITE };

typedef int query_function(uintptr_t address, struct moat_os_mapping *mapping);

static int by_rung(int (*rung)(int, uintptr_t, struct moat_os_mapping *), uintptr_t address,
                   struct moat_os_mapping *mapping) {
    int maps = moat_linux_maps_open();
    cr_assert_geq(maps, 0);
    int error = rung(maps, address, mapping);
    close(maps);
    return error;
}

static int by_asking(uintptr_t address, struct moat_os_mapping *mapping) {
    return by_rung(moat_linux_query_ask, address, mapping);
}

static int by_reading(uintptr_t address, struct moat_os_mapping *mapping) {
    return by_rung(moat_linux_query_read, address, mapping);
}

/* Whether this kernel has PROCMAP_QUERY. */
static bool can_ask(void) {
    struct moat_os_mapping mapping;
    return by_asking((uintptr_t)&mapping, &mapping) == 0;
}

/* The whole call and both rungs; asking only where the kernel can be asked. */
static size_t rungs(query_function *functions[3]) {
    functions[0] = moat_os_query;
    functions[1] = by_reading;
    functions[2] = by_asking;
    return can_ask() ? 3 : 2;
}

#define FOR_EACH_RUNG(query)                                                                       \
    query_function *functions[3];                                                                  \
    size_t rung_count = rungs(functions);                                                          \
    query_function *query = functions[0];                                                          \
    for (size_t rung = 0; rung < rung_count; query = functions[++rung % 3])

static struct moat_os_mapping found(query_function *query, const void *address) {
    struct moat_os_mapping mapping;
    memset(&mapping, 0xFF, sizeof mapping);
    errno = 4711;
    cr_assert_eq(query((uintptr_t)address, &mapping), 0);
    if (query == moat_os_query)
        cr_assert_eq(errno, 4711, "errno of the caller is preserved");
    cr_assert_leq(mapping.start, (uintptr_t)address);
    cr_assert_gt(mapping.end, (uintptr_t)address);
    return mapping;
}

/* Five pages with holes at both ends, whatever else is mapped around. */
static char *island(unsigned access) {
    void *base;
    cr_assert_eq(moat_os_reserve(5 * PAGE, PAGE, &base), 0);
    cr_assert_eq(moat_os_protect(base, 5 * PAGE, READ_WRITE), 0);
    cr_assert_eq(moat_os_unreserve(base, PAGE), 0);
    cr_assert_eq(moat_os_unreserve((char *)base + 4 * PAGE, PAGE), 0);
    cr_assert_eq(moat_os_protect((char *)base + PAGE, 3 * PAGE, access), 0);
    return (char *)base + PAGE;
}

Test(os_query, private_memory_is_described_with_its_rights) {
    static const unsigned rights[] = {MOAT_OS_NONE, MOAT_OS_READ, READ_WRITE,
                                      MOAT_OS_READ | MOAT_OS_EXECUTE};
    for (size_t i = 0; i < sizeof rights / sizeof rights[0]; i++) {
        char *base = island(rights[i]);
        FOR_EACH_RUNG(query) {
            struct moat_os_mapping mapping = found(query, base + PAGE + 17);
            cr_assert(mapping.mapped);
            cr_assert_eq(mapping.start, (uintptr_t)base);
            cr_assert_eq(mapping.end, (uintptr_t)base + 3 * PAGE);
            cr_assert_eq(mapping.access, rights[i]);
            cr_assert_not(mapping.shared);
            cr_assert_not(mapping.file);
            cr_assert_eq(mapping.inode, 0);
        }
    }
}

Test(os_query, the_ends_of_a_mapping_belong_to_it_and_nothing_beyond) {
    char *base = island(READ_WRITE);
    FOR_EACH_RUNG(query) {
        cr_assert(found(query, base).mapped);
        cr_assert(found(query, base + 3 * PAGE - 1).mapped);
        cr_assert_not(found(query, base - 1).mapped);
        cr_assert_not(found(query, base + 3 * PAGE).mapped);
    }
}

Test(os_query, a_hole_runs_from_the_page_asked_for_to_the_next_mapping) {
    char *base = island(READ_WRITE);
    FOR_EACH_RUNG(query) {
        struct moat_os_mapping mapping = found(query, base - 5);
        cr_assert_not(mapping.mapped);
        cr_assert_eq(mapping.start, (uintptr_t)base - PAGE);
        cr_assert_eq(mapping.end, (uintptr_t)base);
        cr_assert_eq(mapping.access, 0);
        cr_assert_not(mapping.shared);
        cr_assert_not(mapping.file);
        cr_assert_eq(mapping.inode, 0);
        cr_assert_eq(mapping.device, 0);
    }
}

Test(os_query, the_first_page_and_the_last_are_answered_for) {
    FOR_EACH_RUNG(query) {
        struct moat_os_mapping mapping = found(query, (void *)0);
        cr_assert_not(mapping.mapped);
        cr_assert_eq(mapping.start, 0);
        /* A hole ends with user space; a stack may reach up here and beyond. */
        mapping = found(query, (void *)(MOAT_OS_USER_END - 1));
        cr_assert(mapping.mapped ? mapping.end <= MOAT_OS_ADDRESS_END
                                 : mapping.end == MOAT_OS_USER_END);
    }
}

Test(os_query, addresses_that_nothing_is_mapped_at_are_refused) {
    struct moat_os_mapping mapping;
    errno = 4711;
    cr_assert_eq(moat_os_query(MOAT_OS_ADDRESS_END, &mapping), EINVAL);
    cr_assert_eq(moat_os_query(0xFFFFFFFFFF600000, &mapping), EINVAL);
    cr_assert_eq(moat_os_query(UINTPTR_MAX, &mapping), EINVAL);
    cr_assert_eq(errno, 4711);
}

Test(os_query, stack_heap_code_and_data_are_found) {
    int on_stack = 0;
    char *on_heap = malloc(100);
    static int in_data = 1;
    FOR_EACH_RUNG(query) {
        struct moat_os_mapping stack = found(query, &on_stack);
        cr_assert_eq(stack.access & READ_WRITE, READ_WRITE);
        cr_assert_not(stack.file);
        cr_assert_eq(found(query, on_heap).access, READ_WRITE);
        struct moat_os_mapping code = found(query, (void *)(uintptr_t)by_rung);
        cr_assert_eq(code.access, MOAT_OS_READ | MOAT_OS_EXECUTE);
        cr_assert(code.file);
        struct moat_os_mapping data = found(query, &in_data);
        cr_assert_eq(data.access, READ_WRITE);
        cr_assert(data.file);
        cr_assert_eq(data.inode, code.inode, "one file");
        cr_assert_eq(data.device, code.device);
    }
    free(on_heap);
}

Test(os_query, a_file_is_named_by_device_inode_and_offset) {
    char path[] = "/tmp/moat_query_XXXXXX";
    int file = mkstemp(path);
    struct stat status;
    cr_assert_eq(ftruncate(file, 3 * PAGE), 0);
    cr_assert_eq(fstat(file, &status), 0);
    char *shared = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, file, PAGE);
    char *private = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    unlink(path);
    FOR_EACH_RUNG(query) {
        struct moat_os_mapping mapping = found(query, shared + PAGE);
        cr_assert(mapping.file);
        cr_assert(mapping.shared);
        cr_assert_eq(mapping.access, MOAT_OS_READ);
        cr_assert_eq(mapping.inode, status.st_ino);
        cr_assert_eq(mapping.offset, PAGE);
        struct moat_os_mapping other = found(query, private);
        cr_assert(other.file);
        cr_assert_not(other.shared);
        cr_assert_eq(other.access, READ_WRITE);
        cr_assert_eq(other.inode, status.st_ino);
        cr_assert_eq(other.device, mapping.device);
        cr_assert_eq(other.offset, 0);
    }
    close(file);
}

/* Names may hold what looks like a line. */
Test(os_query, a_newline_in_a_file_name_confuses_nobody) {
    char path[] = "/tmp/moat\n00000000-7fffffffffff rwxs 00000000 00:00 1 _XXXXXX";
    int file = mkstemp(path);
    cr_assert_geq(file, 0);
    cr_assert_eq(ftruncate(file, PAGE), 0);
    char *base = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 0);
    unlink(path);
    close(file);
    FOR_EACH_RUNG(query) {
        struct moat_os_mapping mapping = found(query, base);
        cr_assert_eq(mapping.access, MOAT_OS_READ);
        cr_assert_eq(mapping.end, (uintptr_t)base + PAGE);
    }
}

static bool same(const struct moat_os_mapping *a, const struct moat_os_mapping *b) {
    return a->start == b->start && a->end == b->end && a->mapped == b->mapped &&
           a->access == b->access && a->shared == b->shared && a->file == b->file &&
           a->device == b->device && a->inode == b->inode && a->offset == b->offset;
}

/* The text is longer than the buffer of its reader many times, so every field gets to be split. */
Test(os_query, both_rungs_agree_on_the_whole_address_space) {
    if (!can_ask())
        cr_skip_test("this kernel cannot be asked about one address");
    for (int i = 0; i < 100; i++)
        (void)island(i % 2 == 0 ? READ_WRITE : MOAT_OS_READ);
    uintptr_t address = 0;
    size_t count = 0;
    for (; address < MOAT_OS_USER_END; count++) {
        struct moat_os_mapping asked = found(by_asking, (void *)address);
        struct moat_os_mapping read = found(by_reading, (void *)address);
        cr_assert(same(&asked, &read), "at %p", (void *)address);
        cr_assert_eq(asked.start, address);
        address = asked.end;
    }
    cr_assert_gt(count, 200);
}

static int text_file(const char *text) {
    int file = memfd_create("maps", 0);
    cr_assert_eq(write(file, text, strlen(text)), (ssize_t)strlen(text));
    lseek(file, 0, SEEK_SET);
    return file;
}

static int read_text(const char *text, uintptr_t address, struct moat_os_mapping *mapping) {
    int file = text_file(text);
    int error = moat_linux_query_read(file, address, mapping);
    close(file);
    return error;
}

Test(os_query, the_reader_knows_every_form_of_line) {
    struct moat_os_mapping mapping;
    static const char text[] = "00400000-00401000 r-xp 00000000 08:02 173521\n"
                               "00e03000-00e24000 rw-p 00000000 00:00 0          [heap]\n"
                               "7f0000000000-7f0000001000 ---s 0000f000 fd:1f 42  /a file\n"
                               "7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0   [stack]\n"
                               "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 \n";
    cr_assert_eq(read_text(text, 0x400123, &mapping), 0);
    cr_assert_eq(mapping.inode, 173521);
    cr_assert_eq(mapping.device, (uint64_t)8 << 32 | 2);
    cr_assert_eq(read_text(text, 0x7f0000000fff, &mapping), 0);
    cr_assert_eq(mapping.access, 0);
    cr_assert(mapping.shared);
    cr_assert_eq(mapping.offset, 0xf000);
    cr_assert_eq(mapping.device, (uint64_t)0xfd << 32 | 0x1f);
    cr_assert_eq(read_text(text, 0x7ffffffef000 - 1, &mapping), 0);
    cr_assert_eq(mapping.end, MOAT_OS_ADDRESS_END);
    cr_assert_eq(read_text(text, MOAT_OS_USER_END, &mapping), 0);
    cr_assert(mapping.mapped, "the stack of a process without address randomisation");
    cr_assert_eq(read_text(text, 0x7f8000000000, &mapping), 0);
    cr_assert_not(mapping.mapped);
    cr_assert_eq(mapping.end, 0x7ffffffde000);
}

/* The page above user space that old programs call is in the text, and is nobody's next mapping. */
Test(os_query, the_last_hole_ends_with_user_space) {
    struct moat_os_mapping mapping;
    static const char text[] = "00400000-00401000 r-xp 00000000 08:02 173521\n"
                               "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 \n";
    cr_assert_eq(read_text(text, 0x500000, &mapping), 0);
    cr_assert_not(mapping.mapped);
    cr_assert_eq(mapping.end, MOAT_OS_USER_END);
}

Test(os_query, text_that_is_not_a_map_is_an_error) {
    struct moat_os_mapping mapping;
    cr_assert_eq(read_text("", 0x1000, &mapping), ENOSYS);
    cr_assert_eq(read_text("hello\n", 0x1000, &mapping), EIO);
    cr_assert_eq(read_text("1000-2000 rw-p 0 0:0", 0x1000, &mapping), EIO);
    cr_assert_eq(read_text("1000-2000 rw-p 0 0:0 7", 0x1000, &mapping), EIO);
    cr_assert_eq(read_text("1000-2000 rw-p 0 0:0 7 /cut", 0x1000, &mapping), EIO);
    cr_assert_eq(read_text("1000-2000 rw-p 0 0:0 7\n", 0x1000, &mapping), 0);
    cr_assert_eq(read_text("-2000 rw-p 0 0:0 7\n", 0x1000, &mapping), EIO);
    cr_assert_eq(read_text("1000-2000 rw-pp 0 0:0 7\n", 0x1000, &mapping), EIO);
    cr_assert_eq(read_text("1000-2000 rw-p 0 0:0 abc\n", 0x1000, &mapping), EIO);
}

static void *query_after_the_first_thread(void *arg) {
    (void)arg;
    usleep(100000); /* until the first thread is gone for certain */
    int here = 0;
    struct moat_os_mapping mapping;
    bool right =
        moat_os_query((uintptr_t)&here, &mapping) == 0 && mapping.mapped && moat_os_map_count() > 5;
    _exit(right ? 0 : 1);
}

/* /proc/self is empty from then on. */
Test(os_query, works_after_the_first_thread_has_exited) {
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, query_after_the_first_thread, NULL) != 0)
            _exit(2);
        pthread_exit(NULL);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
}

Test(os_query, a_forked_child_is_told_about_itself) {
    char *base = island(READ_WRITE);
    pid_t child = fork();
    if (child == 0) {
        struct moat_os_mapping mapping;
        munmap(base, 3 * PAGE);
        _exit(moat_os_query((uintptr_t)base, &mapping) == 0 && !mapping.mapped ? 0 : 1);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert(found(moat_os_query, base).mapped);
}

Test(os_query, no_file_stays_open) {
    struct moat_os_mapping mapping;
    int before = dup(0);
    close(before);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(moat_os_query((uintptr_t)&mapping, &mapping), 0);
    cr_assert_gt(moat_os_map_count(), 0);
    int after = dup(0);
    close(after);
    cr_assert_eq(after, before);
}

Test(os_query, mappings_are_counted) {
    uint64_t before = moat_os_map_count();
    cr_assert_gt(before, 5);
    for (int i = 0; i < 50; i++)
        (void)island(i % 2 == 0 ? READ_WRITE : MOAT_OS_READ);
    errno = 4711;
    cr_assert_eq(moat_os_map_count(), before + 50);
    cr_assert_eq(errno, 4711);
}
