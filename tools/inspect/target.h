/* SPDX-License-Identifier: MIT */
/*
 * target: the memory of a process that goes on running, or of one that is in a core dump.
 *
 * The process is neither stopped nor told: what is read may change while it is read. Whoever reads
 * more than a word looks again whether that was so.
 */
#ifndef MOAT_INSPECT_TARGET_H
#define MOAT_INSPECT_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What the program ends with, as --help documents it. */
enum ending { SHOWN, DAMAGED, USAGE, OUT_OF_REACH, NO_MOAT, OTHER_VERSION };

/* A mapping of the target. */
struct mapping {
    uint64_t start;
    uint64_t end;
    uint64_t in_dump; /* of a core: bytes from its start that are in the file */
    uint64_t offset;  /* of a core: where */
    bool of_file;     /* a program's or a library's; what is mapped shared is left out */
    bool executable;
};

struct target {
    pid_t process; /* 0: a core */
    int file;      /* the core; of a process /proc/PID/pagemap, or -1 */
    char name[64]; /* "process 4711", "core" */
    struct mapping *mappings;
    size_t mapping_count;
};

/* Open a process or a core. What does not succeed is told on standard error. */
enum ending target_open_process(struct target *target, pid_t process);
enum ending target_open_core(struct target *target, const char *path);
void target_close(struct target *target);

/* Copy memory of the target; false: some of it cannot be read. */
bool target_read(const struct target *target, uint64_t address, void *to, size_t size);

/* Bytes of [start, end) that are in memory, or for a core in its file. False: nobody tells. */
bool target_resident(const struct target *target, uint64_t start, uint64_t end, uint64_t *bytes);

/* Add a mapping to the list, which is in ascending order. */
void target_add(struct target *target, const struct mapping *mapping);

/* Memory or the end of the program. */
void *need(void *old, size_t size);

/* Tell on standard error, behind the program's name, what happened and what to do. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
