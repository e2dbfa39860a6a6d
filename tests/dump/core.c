/* SPDX-License-Identifier: MIT */
/*
 * core: what a core dump of the kernel's holds. Every committed page, and little else.
 *
 * A child sets a scene and aborts; the parent reads the file that the kernel left, and has gdb read
 * a page of it too. How large the dump of a child without a scene is, is taken off. Two sizes
 * count: that of the file, which whoever copies it or reads it from a pipe has to bear and which
 * goes by blocks of 2 MiB, and that on the disk, which goes by pages.
 *
 * Where the kernel hands dumps to a program, or to a folder of its own, there is nothing to try.
 */
#define _GNU_SOURCE
#include <moat/heap.h>
#include <moat/moat.h>

#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define GIB ((size_t)1 << 30)

enum { PAGE = MOAT_PAGE_BYTES, GRANULE = 65536, BLOCK = 2 << 20, FACTS = 8000, SKIPPED = 77 };

/* What the child tells, in memory that is in no dump. */
struct facts {
    bool set;
    size_t held;   /* bytes that were written and are committed */
    size_t blocks; /* that those lie in, at most */
    size_t present_count, absent_count;
    uintptr_t present[FACTS];
    uintptr_t absent[FACTS];
};

static struct facts *facts;
static struct moat_manager *manager;
static const char *self;
static int problems;

#define SLACK ((size_t)1 << 20)
#define BOOKS ((size_t)8 << 20) /* most of which was never touched */

static void must(bool holds, const char *what) {
    if (holds)
        return;
    fprintf(stderr, "%s: %s\n", what, moat_last_error_text());
    _exit(1);
}

/* What a page of a scene holds: its own address, over and over. */
static void fill(unsigned char *start, size_t size) {
    for (size_t i = 0; i < size; i += sizeof(uintptr_t))
        *(uintptr_t *)(void *)(start + i) = (uintptr_t)(start + i);
}

static void expect(unsigned char *page, bool present) {
    size_t *count = present ? &facts->present_count : &facts->absent_count;
    must(*count < FACTS, "room for facts");
    (present ? facts->present : facts->absent)[(*count)++] = (uintptr_t)page;
}

static unsigned char *reserve(size_t size, uint32_t flags) {
    void *base;
    must(moat_reserve(manager, NULL, size, MOAT_PAGE_READWRITE, flags, &base) == MOAT_OK,
         "reserve");
    return base;
}

static void commit_filled(unsigned char *start, size_t size) {
    must(moat_commit(manager, start, size, MOAT_PAGE_READWRITE, NULL) == MOAT_OK, "commit");
    fill(start, size);
    facts->held += size;
    facts->blocks += (size + BLOCK - 1) / BLOCK + 1;
    expect(start, true);
    expect(start + size - PAGE, true);
}

static void decommit(unsigned char *start, size_t size) {
    must(moat_decommit(manager, start, size) == MOAT_OK, "decommit");
    facts->held -= size;
    expect(start, false);
    expect(start + size - PAGE, false);
}

static void nothing(void) {
}

/* 1 GiB, of which a piece is used, and of that every second page. */
static void one_large_reservation(void) {
    unsigned char *base = reserve(GIB, 0);
    commit_filled(base + GIB / 2, 32 * BLOCK);
    decommit(base + GIB / 2 + 31 * BLOCK, BLOCK);
    facts->present_count--;
    commit_filled(base + GIB / 4 + PAGE, PAGE);
    expect(base + GIB / 4, false);
    expect(base + GIB / 4 + 2 * PAGE, false);
    expect(base + GIB - PAGE, false);
}

static void a_thousand_regions(void) {
    enum { COUNT = 1000 };
    static unsigned char *bases[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        bases[i] = reserve(GRANULE - PAGE, MOAT_RESERVE_COMMIT);
        fill(bases[i], GRANULE - PAGE);
        facts->held += GRANULE - PAGE;
        expect(bases[i] + PAGE, true);
        expect(bases[i] + GRANULE - PAGE, false); /* its guard */
    }
    for (unsigned i = 0; i < COUNT; i += 2) {
        decommit(bases[i], PAGE);
        facts->absent_count--; /* first and last page are one */
    }
    for (unsigned i = 1; i < COUNT; i += 4) {
        must(moat_release(manager, bases[i]) == MOAT_OK, "release");
        facts->held -= GRANULE - PAGE;
        for (size_t j = 0; j < facts->present_count; j++)
            if (facts->present[j] == (uintptr_t)bases[i] + PAGE)
                facts->present[j] = (uintptr_t)bases[0] + PAGE;
        expect(bases[i] + PAGE, false);
    }
    facts->blocks += COUNT / 16 + 64;
}

static void a_huge_reservation(void) {
    unsigned char *base = reserve(256 * GIB, 0);
    for (size_t i = 1; i < 9; i++)
        commit_filled(base + i * 20 * GIB, PAGE);
    commit_filled(base + 7 * GIB, 8 * BLOCK);
    commit_filled(base + 9 * GIB + PAGE, PAGE);
    decommit(base + 9 * GIB + PAGE, PAGE);
    facts->present_count -= 2;
    expect(base, false);
    expect(base + 128 * GIB, false);
}

/* Large blocks are in regions of their own, small ones share spans that are committed whole. */
static void a_heap(void) {
    struct moat_heap *heap;
    void *block = NULL, *freed = NULL;
    must(moat_heap_create(manager, 0, &heap) == MOAT_OK, "heap");
    for (unsigned i = 0; i < 100; i++) {
        must(moat_heap_alloc(heap, 3 * GRANULE, &block) == MOAT_OK, "alloc");
        fill(block, 3 * GRANULE);
        facts->held += 3 * GRANULE;
    }
    must(moat_heap_alloc(heap, 3 * GRANULE, &freed) == MOAT_OK, "alloc");
    fill(freed, 3 * GRANULE);
    must(moat_heap_free(heap, freed) == MOAT_OK, "free");
    expect(block, true);
    expect((unsigned char *)freed + PAGE, false);
    facts->blocks += 100 * 4 * GRANULE / BLOCK + 8;
}

/* For dump=none: nothing of these may be there. */
static void secrets(void) {
    unsigned char *small = reserve(GRANULE, MOAT_RESERVE_COMMIT);
    unsigned char *large = reserve(GIB, 0);
    unsigned char *block = reserve(4 * BLOCK, MOAT_RESERVE_COMMIT);
    fill(small, GRANULE);
    fill(block, 4 * BLOCK);
    must(moat_commit(manager, large + BLOCK, PAGE, MOAT_PAGE_READWRITE, NULL) == MOAT_OK, "commit");
    must(moat_commit(manager, large + 8 * BLOCK, BLOCK, MOAT_PAGE_READWRITE, NULL) == MOAT_OK,
         "commit");
    fill(large + BLOCK, PAGE);
    fill(large + 8 * BLOCK, BLOCK);
    expect(small, false);
    expect(small + GRANULE - PAGE, false);
    expect(block, false);
    expect(large + BLOCK, false);
    expect(large + 8 * BLOCK, false);
}

/* What was released, and what was decommitted whole, is not dumped for what it once was. */
static void what_was_used_before(void) {
    unsigned char *base = reserve(64 * GIB, 0);
    for (unsigned round = 0; round < 8; round++) {
        unsigned char *at = base + round * 4 * GIB;
        commit_filled(at, 16 * BLOCK);
        decommit(at, 16 * BLOCK);
        facts->present_count -= 2;
    }
    unsigned char *gone = reserve(GIB / 8, MOAT_RESERVE_COMMIT);
    fill(gone, GIB / 8);
    must(moat_release(manager, gone) == MOAT_OK, "release");
    expect(gone, false);
    facts->blocks = 16;
}

/* --- The dump --- */

struct dump {
    int file;
    size_t size;
    size_t on_disk;
    Elf64_Ehdr header;
    Elf64_Phdr *segments;
};

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void open_dump(const char *path, struct dump *dump) {
    struct stat status;
    dump->file = open(path, O_RDONLY | O_CLOEXEC);
    if (dump->file < 0 || fstat(dump->file, &status) != 0)
        die("open the dump");
    dump->size = (size_t)status.st_size;
    dump->on_disk = (size_t)status.st_blocks * 512;
    if (pread(dump->file, &dump->header, sizeof dump->header, 0) != sizeof dump->header)
        die("read the dump");
    size_t bytes = dump->header.e_phnum * sizeof(Elf64_Phdr);
    dump->segments = malloc(bytes);
    if (!dump->segments ||
        pread(dump->file, dump->segments, bytes, (off_t)dump->header.e_phoff) != (ssize_t)bytes)
        die("read the segments");
}

static void close_dump(struct dump *dump) {
    free(dump->segments);
    close(dump->file);
}

/* Whether the dump has that page, with what the scene wrote there. */
static bool holds(const struct dump *dump, uintptr_t page) {
    for (unsigned i = 0; i < dump->header.e_phnum; i++) {
        const Elf64_Phdr *segment = &dump->segments[i];
        uintptr_t word = 0;
        if (segment->p_type != PT_LOAD || page < segment->p_vaddr ||
            page - segment->p_vaddr >= segment->p_filesz)
            continue;
        off_t at = (off_t)(segment->p_offset + (page - segment->p_vaddr));
        return pread(dump->file, &word, sizeof word, at) == sizeof word && word == page;
    }
    return false;
}

static void complain(const char *scene, const char *options, const char *what, uintptr_t number) {
    printf("%s, %s: %s: %#lx\n", scene, options, what, (unsigned long)number);
    problems++;
}

/* Play a scene in a child that ends with a dump. False: none was left. */
static bool play(const char *words, void (*scene)(void), const char *path) {
    *facts = (struct facts){0};
    (void)unlink(path);
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
        struct moat_options options;
        (void)setrlimit(RLIMIT_CORE, &unlimited);
        moat_options_init(&options);
        must(moat_options_parse(&options, words, NULL, 0) == MOAT_OK, "options");
        must(moat_manager_create(&options, &manager) == MOAT_OK, "create");
        scene();
        facts->set = true;
        abort();
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        die("fork");
    if (!facts->set) {
        printf("%s: the scene could not be set\n", words);
        exit(1);
    }
    return WIFSIGNALED(status) && WCOREDUMP(status) && access(path, R_OK) == 0;
}

/* A debugger sees what the program saw. */
static void ask_gdb(const char *path) {
    char command[512], line[512] = "", expected[64];
    uintptr_t page = facts->present[0];
    snprintf(command, sizeof command, "gdb -nx -batch -ex 'x/gx %#lx' %s %s 2>/dev/null | tail -1",
             (unsigned long)page, self, path);
    FILE *answer = popen(command, "r");
    if (!answer)
        die("gdb");
    while (fgets(line, sizeof line, answer)) {
    }
    pclose(answer);
    snprintf(expected, sizeof expected, "%#lx:\t0x%016lx\n", (unsigned long)page,
             (unsigned long)page);
    if (strcmp(line, expected) != 0) {
        printf("gdb says %sand not %s", line, expected);
        problems++;
    }
}

static void try(const char *name, const char *options, void (*scene)(void), const char *path,
                const struct dump *empty) {
    struct dump dump;
    if (!play(options, scene, path)) {
        complain(name, options, "no dump", 0);
        return;
    }
    open_dump(path, &dump);
    for (size_t i = 0; i < facts->present_count; i++)
        if (!holds(&dump, facts->present[i]))
            complain(name, options, "a committed page is missing", facts->present[i]);
    for (size_t i = 0; i < facts->absent_count; i++)
        if (holds(&dump, facts->absent[i]))
            complain(name, options, "there is a page that is not committed", facts->absent[i]);
    size_t size = dump.size > empty->size ? dump.size - empty->size : 0;
    size_t on_disk = dump.on_disk > empty->on_disk ? dump.on_disk - empty->on_disk : 0;
    printf("%-24s %-13s committed %6zu KiB: on disk %6zu KiB, size %6zu KiB\n", name, options,
           facts->held / 1024, on_disk / 1024, size / 1024);
    if (on_disk > facts->held + facts->held / 100 + SLACK)
        complain(name, options, "too much on disk", on_disk);
    if (on_disk + SLACK < facts->held)
        complain(name, options, "too little on disk", on_disk);
    if (size > facts->blocks * BLOCK + BOOKS)
        complain(name, options, "too large", size);
    if (facts->present_count && system("command -v gdb >/dev/null") == 0)
        ask_gdb(path);
    close_dump(&dump);
}

/* Where the kernel leaves dumps: NULL if not in the folder of the process that died. */
static const char *find_name(void) {
    static char name[64];
    FILE *setting = fopen("/proc/sys/kernel/core_pattern", "re");
    if (!setting || !fgets(name, sizeof name, setting))
        name[0] = '\0';
    if (setting)
        fclose(setting);
    name[strcspn(name, "\n")] = '\0';
    return name[0] == '\0' || strpbrk(name, "|/%") ? NULL : name;
}

static bool numbered(void) {
    FILE *setting = fopen("/proc/sys/kernel/core_uses_pid", "re");
    bool is = setting && fgetc(setting) == '1';
    if (setting)
        fclose(setting);
    return is;
}

/* The shadow of a sanitizer drowns what is measured. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

int main(int count, char **arguments) {
    static const struct {
        const char *name;
        void (*set)(void);
    } scenes[] = {
        {"one large reservation", one_large_reservation},
        {"a thousand regions", a_thousand_regions},
        {"a huge reservation", a_huge_reservation},
        {"a heap", a_heap},
        {"what was used before", what_was_used_before},
    };
    /* What is retained is in a dump as well, and would hide what should not be. */
    static const char *const rungs[] = {"trap=auto,retain=0", "trap=protect,retain=0"};
    static const char *const quiet[] = {"dump=none", "dump=none,trap=protect"};
    static char folder[] = "/tmp/moat-core-XXXXXX";
    const char *path = find_name();
    struct dump empty;

    (void)count;
    if (SANITIZED) {
        puts("dumps under a sanitizer are its own affair: nothing was tried");
        return SKIPPED;
    }
    self = realpath(arguments[0], NULL);
    if (!path || numbered() || !self) {
        puts("dumps do not go to a file \"core\" here: nothing was tried");
        return SKIPPED;
    }
    facts = mmap(NULL, sizeof *facts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (facts == MAP_FAILED || madvise(facts, sizeof *facts, MADV_DONTDUMP) != 0)
        die("mmap");
    if (!mkdtemp(folder) || chdir(folder) != 0)
        die(folder);
    if (!play("trap=auto", nothing, path)) {
        puts("no dump is left here: nothing was tried");
        (void)(chdir("/") || rmdir(folder));
        return SKIPPED;
    }
    open_dump(path, &empty);
    for (size_t i = 0; i < sizeof scenes / sizeof scenes[0]; i++)
        for (unsigned rung = 0; rung < 2; rung++)
            try(scenes[i].name, rungs[rung], scenes[i].set, path, &empty);
    for (unsigned i = 0; i < 2; i++)
        try("secrets", quiet[i], secrets, path, &empty);
    if (system("command -v gdb >/dev/null") != 0)
        puts("gdb is not installed: no dump was opened in it");
    close_dump(&empty);
    (void)unlink(path);
    (void)(chdir("/") || rmdir(folder));
    return problems != 0;
}
