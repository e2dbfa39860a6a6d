/* SPDX-License-Identifier: MIT */
/*
 * deeds: stale accesses, overruns and wrong frees, each in a process of its own.
 *
 * Memory is looked at through the kernel, which answers EFAULT where a program would trap, so that
 * one process can look at many blocks and goes on. A wrong free may do anything: what became of the
 * process is what is told. The line printed has the fields word, size, what came of it, and what
 * the allocator itself said, tabs between them.
 */
#define _GNU_SOURCE
#include "compare/deeds.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCKS = 64, PAGE = MOAT_PAGE_BYTES, SAID_MAX = 1 << 16 };

#define LOOK_AROUND ((size_t)1 << 16) /* how far before and behind a block a guard is looked for */
#define MARK        0xA7

/* A deed prints what came of it, in a child. */
struct deed {
    const char *word;
    void (*run)(void);
};

static const size_t sizes[] = {(size_t)64 << 10, (size_t)1 << 20};

enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

static size_t block_size; /* of this run */

static int look[2]; /* a pipe that memory is offered to */

static bool readable(const volatile void *address) {
    char sink[64];
    bool can = write(look[1], (const void *)address, 1) == 1;
    while (can && read(look[0], sink, sizeof(sink)) < 0 && errno == EINTR) {
    }
    return can;
}

static bool writable(volatile unsigned char *address, unsigned char value) {
    ssize_t put = write(look[1], &value, 1);
    return put == 1 && read(look[0], (void *)address, 1) == 1;
}

/* A pipe that a failed read left a byte in would answer wrongly the next time. */
static void renew_pipe(void) {
    close(look[0]);
    close(look[1]);
    if (pipe(look))
        abort();
}

static void take_all(unsigned char *blocks[BLOCKS]) {
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = take(block_size);
        if (!blocks[i])
            abort();
        memset(blocks[i], MARK, block_size);
    }
}

static void count_stale(unsigned char *blocks[BLOCKS]) {
    unsigned reached = 0, old = 0;

    for (int i = 0; i < BLOCKS; i++) {
        volatile unsigned char *middle = blocks[i] + block_size / 2;
        bool can_read = readable(middle);
        old += can_read && *middle == MARK;
        bool can_write = writable(middle, 0x11);
        if (!can_write)
            renew_pipe();
        reached += can_read || can_write;
    }
    if (reached == 0)
        printf("traps");
    else
        printf("%u of %d reached, %u old content", reached, BLOCKS, old);
}

static void stale(void) {
    unsigned char *blocks[BLOCKS];
    take_all(blocks);
    for (int i = 0; i < BLOCKS; i++)
        (void)give(blocks[i]);
    count_stale(blocks);
}

/* Cut one mapping into as many as the process may have. */
static void fill_mappings(void) {
    enum { PAGES = 300000 };
    char *cut = mmap(NULL, (size_t)PAGES * PAGE, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (int page = 1; cut != MAP_FAILED && page < PAGES; page += 2)
        if (mprotect(cut + (size_t)page * PAGE, PAGE, PROT_READ))
            return;
    printf("the limit was not reached; ");
}

/* Every other block, so that none is at the end of what the kernel has as one mapping. */
static void stale_at_limit(void) {
    unsigned char *blocks[2 * BLOCKS], *given[BLOCKS];
    take_all(blocks);
    take_all(blocks + BLOCKS);
    fill_mappings();
    for (int i = 0; i < BLOCKS; i++) {
        given[i] = blocks[2 * i];
        (void)give(given[i]);
    }
    count_stale(given);
}

static size_t distance_to_guard(unsigned char *from, ptrdiff_t step) {
    for (size_t away = 0; away <= LOOK_AROUND; away += PAGE)
        if (!readable(from + (ptrdiff_t)away * step))
            return away;
    return LOOK_AROUND + PAGE;
}

static void print_guards(unsigned char *blocks[BLOCKS], bool behind) {
    unsigned guarded = 0;

    /* Page by page from the block's own border, in blocks with others on either side. */
    for (int i = 0; i < BLOCKS; i++) {
        unsigned char *border = behind ? blocks[i] + block_size : blocks[i] - 1;
        guarded += distance_to_guard(border, behind ? 1 : -1) <= PAGE;
    }
    if (guarded == BLOCKS)
        printf("traps");
    else
        printf("%u of %d trap", guarded, BLOCKS);
}

static void past_the_end(void) {
    unsigned char *blocks[BLOCKS];
    take_all(blocks);
    print_guards(blocks, true);
}

static void before_the_start(void) {
    unsigned char *blocks[BLOCKS];
    take_all(blocks);
    print_guards(blocks, false);
}

static void fresh_content(void) {
    unsigned char *blocks[BLOCKS];
    unsigned dirty = 0;

    take_all(blocks);
    for (int i = 0; i < BLOCKS; i++)
        (void)give(blocks[i]);
    for (int i = 0; i < BLOCKS; i++) {
        const unsigned char *block = take(block_size);
        dirty += block && memchr(block + PAGE, MARK, block_size - PAGE) != NULL;
    }
    if (dirty == 0)
        printf("zero");
    else
        printf("%u of %d old content", dirty, BLOCKS);
}

/* A free that no correct program makes; the process goes on behind it, or does not. */
static void wrong_free(void *address) {
    bool accepted = give(address);
    /* Let what was noted for later come out. */
    void *more[BLOCKS];
    for (int i = 0; i < BLOCKS; i++)
        more[i] = take(block_size);
    for (int i = 0; i < BLOCKS; i++)
        if (more[i])
            (void)give(more[i]);
    printf(accepted ? "not noticed" : "refused");
}

static void second_free(void) {
    unsigned char *block = take(block_size);
    block[0] = MARK;
    (void)give(block);
    wrong_free(block);
}

static void interior_free(void) {
    unsigned char *block = take(block_size);
    memset(block, 0, block_size);
    wrong_free(block + 16 * PAGE);
}

static void foreign_free(void) {
    char *mapping =
        mmap(NULL, 4 * block_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED)
        abort();
    (void)give(take(block_size));
    wrong_free(mapping + block_size);
}

static void stack_free(void) {
    _Alignas(PAGE) volatile char local[2 * PAGE];
    local[0] = 0;
    (void)give(take(block_size));
    wrong_free((void *)(local + PAGE));
}

static const struct deed deeds[] = {
    {"stale access", stale},
    {"stale access at vm.max_map_count", stale_at_limit},
    {"access past the end", past_the_end},
    {"access before the start", before_the_start},
    {"memory that is handed out again", fresh_content},
    {"second free", second_free},
    {"free of an interior address", interior_free},
    {"free of a foreign mapping", foreign_free},
    {"free of the stack", stack_free},
};

enum { DEEDS = sizeof(deeds) / sizeof(deeds[0]) };

/* In the child: all that is printed goes to `told`, all that the allocator says to `said`. */
static void child(const struct deed *deed, int told, int said) {
    if (dup2(told, STDOUT_FILENO) < 0 || dup2(said, STDERR_FILENO) < 0 || pipe(look))
        abort();
    setvbuf(stdout, NULL, _IOFBF, BUFSIZ);
    deed->run();
    fflush(stdout);
    _exit(EXIT_SUCCESS);
}

static size_t read_all(int from, char *text, size_t room) {
    size_t length = 0;
    ssize_t got;
    while (length + 1 < room && (got = read(from, text + length, room - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = '\0';
    return length;
}

static void print_outcome(const char *told, int status) {
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS && told[0] != '\0')
        fputs(told, stdout);
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)
        fputs("abort", stdout);
    else if (WIFSIGNALED(status))
        fputs(strsignal(WTERMSIG(status)), stdout);
    else
        printf("exit %d", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

static void run_one(const struct deed *deed, size_t size) {
    static char told[256], said[SAID_MAX];
    FILE *told_file = tmpfile(), *said_file = tmpfile();
    int status;

    if (!told_file || !said_file)
        abort();
    fflush(stdout);
    block_size = size;
    pid_t process = fork();
    if (process == 0)
        child(deed, fileno(told_file), fileno(said_file));
    if (process < 0 || waitpid(process, &status, 0) != process)
        abort();
    rewind(told_file);
    rewind(said_file);
    (void)read_all(fileno(told_file), told, sizeof(told));
    (void)read_all(fileno(said_file), said, sizeof(said));
    fclose(told_file);
    fclose(said_file);
    printf("%s\t%zu KiB\t", deed->word, size >> 10);
    print_outcome(told, status);
    putchar('\t');
    for (const char *at = said; *at; at++)
        putchar(*at == '\n' || *at == '\t' ? ' ' : *at);
    putchar('\n');
}

int run_deeds(int count, char **words) {
    for (int i = 0; i < DEEDS; i++)
        for (int size = 0; size < SIZES; size++)
            if (count < 2 || strcmp(words[1], deeds[i].word) == 0)
                run_one(&deeds[i], sizes[size]);
    return EXIT_SUCCESS;
}
