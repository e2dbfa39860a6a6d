/* SPDX-License-Identifier: MIT */
/* process: what this process costs the kernel, and what machine it runs on. */
#ifndef MOAT_BENCH_PROCESS_H
#define MOAT_BENCH_PROCESS_H

#include <cstddef>
#include <cstdint>

namespace bench {

struct footprint {
    uint64_t resident;    /* bytes */
    uint64_t page_tables; /* bytes */
    uint64_t mappings;    /* lines of /proc/self/maps */
};

footprint footprint_now();

/* What the kernel did to the calling thread, to tell its pauses from ours. */
struct thread_usage {
    double wall;    /* seconds */
    double cpu;     /* seconds of this thread */
    long faults;    /* minor and major */
    long preempted; /* involuntary switches */
    long waited;    /* voluntary switches */
};

thread_usage thread_usage_now();

/* Add machine, kernel, compiler and settings to the context of the JSON report. */
void describe_machine();

/* Memory straight from the kernel, in pages of the normal size; ends the program if refused. */
void *map_normal_pages(size_t size);

/* The same for a multiple of 2 MiB, in huge pages where the kernel has them to give. */
void *map_huge_pages(size_t size);
void unmap_pages(void *memory, size_t size);
void drop_pages(void *memory, size_t size);

/* What the calling thread has spent in the three functions above. */
extern thread_local double kernel_seconds;

} // namespace bench

#endif
