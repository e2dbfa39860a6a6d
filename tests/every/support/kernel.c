/* SPDX-License-Identifier: MIT */
/* kernel: asking. */
#define _GNU_SOURCE
#include "kernel.h"

#include "os/linux_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

struct map_question {
    uint64_t size, flags, address;
    uint64_t start, end, access, page_size, offset, inode;
    uint32_t device[2], name_size, build_id_size;
    uint64_t name, build_id;
};

struct scan_question {
    uint64_t size, flags, start, end, walk_end, vector, vector_length, pages_max;
    uint64_t inverted, all_of, any_of, told;
};

#define ASK_MAP  _IOWR('f', 17, struct map_question)
#define ASK_SCAN _IOWR('f', 16, struct scan_question)

enum { COVERING_OR_NEXT = 0x10, FILES_MAX = 32 };
enum { IS_PRESENT = 8, IS_SWAPPED = 16, IS_GUARD = 256 };

#define ENTRY_PRESENT ((uint64_t)1 << 63)
#define ENTRY_SWAPPED ((uint64_t)1 << 62)
#define ENTRY_GUARD   ((uint64_t)1 << 58)

static void need(bool is, const char *what) {
    if (is)
        return;
    fprintf(stderr, "kernel: %s: %s\n", what, strerror(errno));
    abort();
}

static int file_of(const char *path) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    need(file >= 0, path);
    return file;
}

static void add_mapping(struct mappings *mappings, uintptr_t start, uintptr_t end,
                        unsigned rights) {
    need(mappings->count < MAPPINGS_MAX, "too many mappings");
    mappings->of[mappings->count++] = (struct mapping){start, end, rights};
}

static bool ask_mappings(int file, struct mappings *mappings) {
    struct map_question question;

    for (uint64_t at = 0;; at = question.end) {
        memset(&question, 0, sizeof question);
        question.size = sizeof question;
        question.flags = COVERING_OR_NEXT;
        question.address = at;
        if (ioctl(file, (MOAT_LINUX_REQUEST)ASK_MAP, &question) != 0)
            return errno == ENOENT && at != 0;
        if (question.start >> 63) /* the page that the kernel keeps for old programs */
            return true;
        add_mapping(mappings, question.start, question.end, question.access & 15);
    }
}

/* A line is "start-end rwxp ...". */
static void parse_mapping(struct mappings *mappings, const char *line) {
    uintptr_t bounds[2] = {0, 0};
    unsigned rights = 0;

    for (int i = 0; i < 2; i++, line++)
        for (; *line != '-' && *line != ' '; line++)
            bounds[i] = bounds[i] * 16 + (uintptr_t)(*line <= '9' ? *line - '0' : *line - 'a' + 10);
    for (int i = 0; i < 4; i++)
        rights |= line[i] == "rwxs"[i] ? 1u << i : 0;
    if (!(bounds[0] >> 63))
        add_mapping(mappings, bounds[0], bounds[1], rights);
}

static void read_mappings(int file, struct mappings *mappings) {
    static char text[1 << 20];
    size_t length = 0;

    for (ssize_t got; (got = read(file, text + length, sizeof text - 1 - length)) > 0;)
        length += (size_t)got;
    text[length] = '\0';
    for (char *line = text; *line; line = strchr(line, '\n') + 1)
        parse_mapping(mappings, line);
}

void kernel_mappings(struct mappings *mappings, bool by_text) {
    int file = file_of("/proc/self/maps");

    mappings->count = 0;
    if (by_text || !ask_mappings(file, mappings)) {
        mappings->count = 0;
        read_mappings(file, mappings);
    }
    close(file);
}

/* Stretches that meet and are alike become one. */
static void add_stretch(struct stretches *stretches, uintptr_t start, uintptr_t end, unsigned is) {
    struct stretch *last = stretches->count ? &stretches->of[stretches->count - 1] : NULL;

    if (last && last->end == start && last->is == is) {
        last->end = end;
        return;
    }
    need(stretches->count < STRETCHES_MAX, "too many stretches");
    stretches->of[stretches->count++] = (struct stretch){start, end, is};
}

static bool scan(int file, struct stretches *stretches, uintptr_t start, uintptr_t end) {
    static struct { uint64_t start, end, is; } found[512];
    struct scan_question question = {.size = sizeof question,
                                     .start = start,
                                     .end = end,
                                     .vector = (uintptr_t)found,
                                     .vector_length = sizeof found / sizeof found[0],
                                     .any_of = IS_PRESENT | IS_SWAPPED | IS_GUARD,
                                     .told = IS_PRESENT | IS_SWAPPED | IS_GUARD};

    while (question.start < end) {
        int count = ioctl(file, (MOAT_LINUX_REQUEST)ASK_SCAN, &question);
        if (count < 0)
            return false;
        for (int i = 0; i < count; i++)
            add_stretch(stretches, found[i].start, found[i].end,
                        found[i].is & IS_GUARD ? MARKED : HOLDS);
        question.start = question.walk_end;
    }
    return true;
}

static void read_entries(int file, struct stretches *stretches, uintptr_t start, uintptr_t end) {
    static uint64_t entries[4096];

    for (uintptr_t at = start; at < end;) {
        size_t count = (end - at) / PAGE < 4096 ? (end - at) / PAGE : 4096;
        ssize_t got = pread(file, entries, count * 8, (off_t)(at / PAGE * 8));
        need(got > 0, "/proc/self/pagemap");
        for (size_t i = 0; i < (size_t)got / 8; i++, at += PAGE)
            if (entries[i] & ENTRY_GUARD)
                add_stretch(stretches, at, at + PAGE, MARKED);
            else if (entries[i] & (ENTRY_PRESENT | ENTRY_SWAPPED))
                add_stretch(stretches, at, at + PAGE, HOLDS);
    }
}

void kernel_stretches(struct stretches *stretches, uintptr_t start, uintptr_t end, bool by_entry) {
    int file = file_of("/proc/self/pagemap");
    size_t before = stretches->count;

    if (by_entry || !scan(file, stretches, start, end)) {
        stretches->count = before;
        read_entries(file, stretches, start, end);
    }
    close(file);
}

bool kernel_tells_markers(void) {
    static struct stretches seen;
    char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    need(page != MAP_FAILED, "mmap");
    *page = 1;
    bool marks = madvise(page, PAGE, 102) == 0;
    seen.count = 0;
    kernel_stretches(&seen, (uintptr_t)page, (uintptr_t)page + PAGE, false);
    munmap(page, PAGE);
    return marks && seen.count == 1 && seen.of[0].is == MARKED;
}

bool kernel_read(uintptr_t page, uint64_t words[PAGE / 8]) {
    static int memory = -1;
    static pid_t whose;

    if (memory < 0 || whose != getpid()) { /* it shows the process that opened it */
        int fresh = file_of("/proc/self/mem");
        if (memory < 0)
            memory = fcntl(fresh, F_DUPFD_CLOEXEC, 100);
        else
            (void)dup3(fresh, memory, O_CLOEXEC);
        close(fresh);
        whose = getpid();
    }
    return pread(memory, words, PAGE, (off_t)page) == PAGE;
}

/* Whether it is one of those that Moat keeps once it had to ask: one of either kind. */
static bool is_kept(int file, bool seen[2]) {
    static const char *const kinds[2] = {"/pagemap", "anon_inode:[userfaultfd]"};
    char path[32], name[80];

    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    ssize_t length = readlink(path, name, sizeof name - 1);
    name[length > 0 ? length : 0] = '\0';
    for (int i = 0; i < 2; i++)
        if (!seen[i] && strstr(name, kinds[i]))
            return seen[i] = true;
    return false;
}

uint64_t kernel_files(void) {
    bool seen[2] = {false, false};
    uint64_t open = 0;

    for (int file = 0; file < FILES_MAX; file++)
        if (fcntl(file, F_GETFD) >= 0 && !is_kept(file, seen))
            open |= (uint64_t)1 << file;
    return open;
}
