/* SPDX-License-Identifier: MIT */
#include "support/process.h"

#include "support/run.h"

#include <benchmark/benchmark.h>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace bench {

thread_local double kernel_seconds;

namespace {

class kernel_time {
  public:
    ~kernel_time() {
        kernel_seconds += seconds_now() - start_;
    }

  private:
    double start_ = seconds_now();
};

std::string first_line(const char *path, const char *prefix = "") {
    std::ifstream file(path);
    std::string line;
    while (std::getline(file, line)) {
        if (line.rfind(prefix, 0) == 0)
            return line;
    }
    return "unknown";
}

std::string after_colon(const std::string &line) {
    size_t at = line.find(": ");
    if (at == std::string::npos)
        return line;
    return line.substr(std::min(line.find_first_not_of(' ', at + 1), line.size()));
}

double clock_seconds(clockid_t clock) {
    timespec now;
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/* A virtual machine says so, and often who it is of. */
std::string machine_kind() {
    bool is_virtual = first_line("/proc/cpuinfo", "flags").find(" hypervisor") != std::string::npos;
    std::string vendor = first_line("/sys/class/dmi/id/sys_vendor");
    std::string product = first_line("/sys/class/dmi/id/product_name");
    std::string text = is_virtual ? "virtual" : "not seen to be virtual";
    return vendor == "unknown" ? text : text + " (" + vendor + " " + product + ")";
}

uint64_t status_kib(const char *name) {
    std::istringstream line(after_colon(first_line("/proc/self/status", name)));
    std::string value = line.str();
    return std::strtoull(value.c_str() + value.find_first_of("0123456789"), nullptr, 10);
}

} // namespace

footprint footprint_now() {
    footprint now;
    now.resident = status_kib("VmRSS:") * 1024;
    now.page_tables = status_kib("VmPTE:") * 1024;
    std::ifstream maps("/proc/self/maps");
    std::string line;
    now.mappings = 0;
    while (std::getline(maps, line))
        now.mappings++;
    return now;
}

thread_usage thread_usage_now() {
    rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return {clock_seconds(CLOCK_MONOTONIC), clock_seconds(CLOCK_THREAD_CPUTIME_ID),
            usage.ru_minflt + usage.ru_majflt, usage.ru_nivcsw, usage.ru_nvcsw};
}

void describe_machine() {
    utsname name;
    uname(&name);
    benchmark::AddCustomContext("kernel", std::string(name.sysname) + " " + name.release);
    benchmark::AddCustomContext("processor",
                                after_colon(first_line("/proc/cpuinfo", "model name")));
    benchmark::AddCustomContext("processors_used", std::to_string(processor_count()));
    benchmark::AddCustomContext("machine", machine_kind());
    benchmark::AddCustomContext("memory", after_colon(first_line("/proc/meminfo", "MemTotal")));
    benchmark::AddCustomContext(
        "governor", first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"));
    std::string load = first_line("/proc/loadavg");
    benchmark::AddCustomContext("load at the start",
                                load.substr(0, load.rfind(' ', load.find('/'))));
    benchmark::AddCustomContext("compiler", __VERSION__);
    benchmark::AddCustomContext("max_map_count", first_line("/proc/sys/vm/max_map_count"));
    benchmark::AddCustomContext("huge_pages",
                                first_line("/sys/kernel/mm/transparent_hugepage/enabled"));
}

void *map_normal_pages(size_t size) {
    kernel_time timer;
    void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        std::perror("mmap");
        std::exit(1);
    }
    madvise(memory, size, MADV_NOHUGEPAGE);
    return memory;
}

void *map_huge_pages(size_t size) {
    constexpr size_t huge = size_t{2} << 20;
    auto *memory = static_cast<unsigned char *>(map_normal_pages(size + huge));
    size_t before = (huge - reinterpret_cast<uintptr_t>(memory) % huge) % huge;
    if (before != 0)
        unmap_pages(memory, before);
    unmap_pages(memory + before + size, huge - before);
    madvise(memory + before, size, MADV_HUGEPAGE);
    return memory + before;
}

void unmap_pages(void *memory, size_t size) {
    kernel_time timer;
    munmap(memory, size);
}

void drop_pages(void *memory, size_t size) {
    kernel_time timer;
    madvise(memory, size, MADV_DONTNEED);
}

} // namespace bench
