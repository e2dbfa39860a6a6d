/* SPDX-License-Identifier: MIT */
/*
 * trace: a failing execution, for people.
 *
 * Steps are printed in an order that respects what reads from what, not in the order in which they
 * were added.
 */
#define _GNU_SOURCE

#include "engine.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const type_name[] = {
    [LOAD] = "load", [STORE] = "store", [EXCHANGE] = "exchange", [ADD] = "add",     [SUB] = "sub",
    [OR] = "or",     [AND] = "and",     [XOR] = "xor",           [COMPARE] = "cas",
};
static const char *const order_name[] = {"relaxed", "consume", "acquire",
                                         "release", "acq_rel", "seq_cst"};

static uintptr_t load_address;

static int find_base(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)size, (void)unused;
    load_address = info->dlpi_addr;
    return 1; /* the first one is the program */
}

/* The program's own file; NULL: it cannot be read. */
static const char *map_self(void) {
    int file = open("/proc/self/exe", O_RDONLY);
    struct stat status;
    void *image = MAP_FAILED;

    if (file >= 0 && fstat(file, &status) == 0)
        image = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (file >= 0)
        close(file);
    return image == MAP_FAILED ? NULL : image;
}

/* The symbol that an address lies in, and how far. */
const char *engine_symbol(const void *address, char *buffer, size_t size) {
    const char *image = map_self();
    uintptr_t at;

    dl_iterate_phdr(find_base, NULL);
    at = (uintptr_t)address - load_address;
    snprintf(buffer, size, "%p", address);
    if (!image)
        return buffer;
    const ElfW(Ehdr) *header = (const void *)image;
    const ElfW(Shdr) *sections = (const void *)(image + header->e_shoff);

    for (unsigned i = 0; i < header->e_shnum; i++) {
        const ElfW(Sym) *symbol = (const void *)(image + sections[i].sh_offset);

        if (sections[i].sh_type != SHT_SYMTAB)
            continue;
        const char *names = image + sections[sections[i].sh_link].sh_offset;

        for (size_t n = 0; n < sections[i].sh_size / sizeof(*symbol); n++, symbol++) {
            uintptr_t offset = at - symbol->st_value;

            if (offset >= symbol->st_size)
                continue;
            if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC || offset == 0)
                snprintf(buffer, size, "%s", names + symbol->st_name);
            else
                snprintf(buffer, size, "%s+%#lx", names + symbol->st_name, (unsigned long)offset);
            return buffer;
        }
    }
    return buffer;
}

static void print_orders(const struct step *step) {
    printf("%s %s", type_name[step->type], order_name[step->order]);
    if (step->type == COMPARE)
        printf("/%s", order_name[step->order_failed]);
}

/* Was a store of this word printed that is newer than this one? */
static bool is_stale(const struct event *read, const bool *printed) {
    const struct word *word = &engine->graph.word[read->word];

    for (int i = graph_place(read->from); i < word->write_count; i++) {
        if (printed[word->write[i]])
            return true;
    }
    return false;
}

static void print_event(int number, int line, int *lines, const bool *printed) {
    const struct event *event = &engine->graph.event[number];
    char word[80], where[80];

    lines[number] = line;
    printf("%4d  T%d  ", line, event->thread);
    switch (event->step.kind) {
    case BEGIN:
        printf("begins\n");
        return;
    case END:
        printf("ends\n");
        return;
    case CREATE:
        printf("creates T%d\n", (int)event->step.operand);
        return;
    case JOIN:
        printf("joins T%d\n", (int)event->step.operand);
        return;
    case READ:
        print_orders(&event->step);
        printf(" %s reads %#lx", engine_symbol((void *)event->step.at, word, sizeof(word)),
               (unsigned long)event->value);
        if (event->from == NONE)
            printf(", what it held at first");
        else
            printf(" of step %d", lines[event->from]);
        if (is_stale(event, printed))
            printf(" (stale)");
        if (event->step.type == COMPARE && !graph_is_update(event))
            printf(", expected %#lx: fails", (unsigned long)event->step.expected);
        break;
    default:
        if (event->step.type == STORE)
            print_orders(&event->step);
        else
            printf("  ... and");
        printf(" %s writes %#lx", engine_symbol((void *)event->step.at, word, sizeof(word)),
               (unsigned long)event->value);
    }
    printf("  in %s\n", engine_symbol(event->step.caller, where, sizeof(where)));
}

static void print_trace(void) {
    const struct graph *graph = &engine->graph;
    bool printed[EVENTS] = {false};
    int lines[EVENTS] = {0}, next[THREADS] = {0};
    int line = 0;

    for (int thread = 0; thread < THREADS;) {
        int number =
            graph->length[thread] > next[thread] ? graph->of_thread[thread][next[thread]] : NONE;
        const struct event *event = &graph->event[number == NONE ? 0 : number];

        if (number == NONE || (event->from != NONE && !printed[event->from])) {
            thread++;
            continue;
        }
        print_event(number, ++line, lines, printed);
        printed[number] = true;
        next[thread]++;
        thread = event->step.kind == READ && graph_is_update(event) ? thread : 0;
    }
}

void engine_print_counts(void) {
    printf("%lu complete, %lu blocked, %lu revisits, %lu runs, %lu steps, %lu plain accesses\n",
           engine->complete, engine->blocked, engine->revisits, engine->runs, engine->steps,
           engine->plain_accesses);
}

void engine_fail(const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    if (!engine->quiet) {
        print_trace();
        printf("%s: FAILED in thread %d: ", engine->program, engine->running);
        vprintf(format, arguments);
        printf("\n%s: failed after ", engine->program);
        engine_print_counts();
        fflush(stdout);
        _exit(1);
    }
    vsnprintf(engine->failure, sizeof(engine->failure), format, arguments);
    va_end(arguments);
    threads_give_up();
}

void engine_refuse(const char *format, ...) {
    va_list arguments;

    printf("refused: ");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    fflush(stdout);
    _exit(2);
}

/* What assert calls. */
_Noreturn void __assert_fail(const char *assertion, const char *file, unsigned line,
                             const char *function);
void __assert_fail(const char *assertion, const char *file, unsigned line, const char *function) {
    engine_fail("%s:%u: %s: assertion \"%s\"", file, line, function, assertion);
}
