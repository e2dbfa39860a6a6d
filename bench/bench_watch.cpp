/* SPDX-License-Identifier: MIT */
/*
 * bench_watch: what does it cost to learn which pages were written, and to write them?
 *
 * 16 MiB, of which one page in a hundred is written before each operation, all of them resident.
 * "raw scan" is the one system call that Moat makes, on memory of its own: PAGEMAP_SCAN with the
 * filter that makes the answer right, and "raw fast scan" with the filter that the kernel has a
 * shortcut for, which calls pages written that were never touched. "sigsegv" is what programs do
 * without either: mprotect, a handler that notes the page in an array, and a walk over the array.
 * Each operation is timed by itself, without the writes that prepare it.
 */
#include "support/run.h"

#include <moat/fault.h>
#include <moat/moat.h>
#include <moat/watch.h>

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>

namespace bench {
namespace {

constexpr size_t page_size = 4096;
constexpr size_t page_count = 4096;
constexpr size_t memory_size = page_count * page_size;
constexpr size_t written_every = 100;
constexpr size_t written_count = (page_count + written_every - 1) / written_every;

/* A way to know. `get` fills `pages` with those that were written, as many as there is room for. */
class watcher {
  public:
    virtual ~watcher() = default;
    virtual unsigned char *begin() = 0; /* nullptr: not to be had here */
    virtual void end() = 0;
    virtual size_t get(unsigned char *start, size_t size, void **pages, size_t room,
                       bool reset) = 0;
};

class moat_watcher : public watcher {
  public:
    explicit moat_watcher(bool by_faults) : by_faults_(by_faults) {
    }

    unsigned char *begin() override {
        struct moat_options options;
        moat_options_init(&options);
        options.watch = by_faults_ ? MOAT_WATCH_FAULT : MOAT_WATCH_KERNEL;
        void *base = nullptr;
        if ((by_faults_ && moat_fault_handler_install(nullptr, nullptr) != MOAT_OK) ||
            moat_manager_create(&options, &manager_) != MOAT_OK ||
            moat_reserve(manager_, nullptr, memory_size, MOAT_PAGE_READWRITE,
                         MOAT_RESERVE_COMMIT | MOAT_RESERVE_WRITE_WATCH, &base) != MOAT_OK)
            return nullptr;
        return static_cast<unsigned char *>(base);
    }

    void end() override {
        moat_manager_destroy(manager_);
        manager_ = nullptr;
        if (by_faults_)
            (void)!moat_fault_handler_remove();
    }

    size_t get(unsigned char *start, size_t size, void **pages, size_t room, bool reset) override {
        size_t count = room;
        uint32_t flags = reset ? MOAT_WATCH_RESET : 0;
        enum moat_status status = moat_watch_get(manager_, flags, start, size, pages, &count);
        return status == MOAT_OK ? count : SIZE_MAX;
    }

  private:
    bool by_faults_;
    struct moat_manager *manager_ = nullptr;
};

/* The interface of Linux 6.7, which the headers here may not have yet. */
struct page_region {
    uint64_t start, end, categories;
};

struct scan_argument {
    uint64_t size, flags, start, end, walk_end, vector, vector_length, pages_max;
    uint64_t inverted, all_of, any_of, told;
};

class raw_watcher : public watcher {
  public:
    explicit raw_watcher(bool fast) : fast_(fast) {
    }

    unsigned char *begin() override {
        void *base =
            mmap(nullptr, memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        start_ = static_cast<unsigned char *>(base);
        madvise(base, memory_size, MADV_NOHUGEPAGE);
        const int user_mode_only = 1;
        const uint64_t asynchronous = 1 << 15, unpopulated = 1 << 13;
        struct uffdio_api api = {};
        api.api = UFFD_API;
        api.features = asynchronous | unpopulated;
        struct uffdio_register all = {};
        all.range = {reinterpret_cast<uint64_t>(base), memory_size};
        all.mode = UFFDIO_REGISTER_MODE_WP;
        recorder_ = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | user_mode_only));
        pagemap_ = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        bool good = recorder_ >= 0 && pagemap_ >= 0 && ioctl(recorder_, UFFDIO_API, &api) == 0 &&
                    ioctl(recorder_, UFFDIO_REGISTER, &all) == 0;
        return good ? start_ : nullptr;
    }

    void end() override {
        close(recorder_);
        close(pagemap_);
        munmap(start_, memory_size);
    }

    size_t get(unsigned char *start, size_t size, void **pages, size_t room, bool reset) override {
        const uint64_t written = 2, present = 8, swapped = 16, zero_page = 32;
        uint64_t first = reinterpret_cast<uint64_t>(start) & ~(uint64_t)(page_size - 1);
        uint64_t last = reinterpret_cast<uint64_t>(start) + size;
        struct scan_argument scan = {};
        scan.size = sizeof scan;
        scan.flags = reset ? 1 : 0;
        scan.start = first;
        scan.end = last;
        scan.vector = reinterpret_cast<uint64_t>(found_.data());
        scan.vector_length = found_.size();
        scan.pages_max = room;
        scan.inverted = fast_ ? 0 : zero_page;
        scan.all_of = fast_ ? written : written | zero_page;
        scan.any_of = fast_ ? 0 : present | swapped;
        scan.told = written;
        int count = ioctl(pagemap_, _IOWR('f', 16, struct scan_argument), &scan);
        size_t total = 0;
        for (int i = 0; i < count; i++)
            for (uint64_t at = found_[static_cast<size_t>(i)].start;
                 at < found_[static_cast<size_t>(i)].end; at += page_size)
                pages[total++] = reinterpret_cast<void *>(at);
        return count < 0 ? SIZE_MAX : total;
    }

  private:
    bool fast_;
    unsigned char *start_ = nullptr;
    int recorder_ = -1;
    int pagemap_ = -1;
    std::array<page_region, page_count> found_;
};

/* Handlers have no context of their own: one of these at a time. */
unsigned char *guarded_start;
std::array<volatile unsigned char, page_count> guarded_written;

void note_write(int, siginfo_t *info, void *) {
    size_t page =
        (static_cast<size_t>(static_cast<unsigned char *>(info->si_addr) - guarded_start)) /
        page_size;
    if (page >= page_count)
        _exit(1);
    guarded_written[page] = 1;
    mprotect(guarded_start + page * page_size, page_size, PROT_READ | PROT_WRITE);
}

class signal_watcher : public watcher {
  public:
    unsigned char *begin() override {
        void *base = mmap(nullptr, memory_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        guarded_start = static_cast<unsigned char *>(base);
        for (volatile unsigned char &written : guarded_written)
            written = 0;
        struct sigaction action = {};
        action.sa_sigaction = note_write;
        action.sa_flags = SA_SIGINFO;
        sigaction(SIGSEGV, &action, &before_);
        return guarded_start;
    }

    void end() override {
        sigaction(SIGSEGV, &before_, nullptr);
        munmap(guarded_start, memory_size);
    }

    size_t get(unsigned char *start, size_t size, void **pages, size_t room, bool reset) override {
        size_t offset = static_cast<size_t>(start - guarded_start);
        size_t count = 0;
        for (size_t page = offset / page_size;
             page <= (offset + size - 1) / page_size && count < room; page++) {
            if (!guarded_written[page])
                continue;
            pages[count++] = guarded_start + page * page_size;
            if (reset) {
                guarded_written[page] = 0;
                mprotect(guarded_start + page * page_size, page_size, PROT_READ);
            }
        }
        return count;
    }

  private:
    struct sigaction before_ = {};
};

void write_some(unsigned char *memory, size_t every) {
    for (size_t page = 0; page < page_count; page += every)
        static_cast<volatile unsigned char *>(memory)[page * page_size] = 1;
}

using operation = std::function<bool(watcher &, unsigned char *, void **)>;

/* Time `measured` alone, after `prepare`; `count` is how many operations it makes. */
void run(benchmark::State &state, watcher &way, const operation &prepare, const operation &measured,
         size_t count) {
    static std::array<void *, page_count> pages;
    unsigned char *memory = way.begin();
    bool good = memory != nullptr;

    if (good)
        write_some(memory, 1);
    good = good && way.get(memory, memory_size, pages.data(), page_count, true) == page_count;
    for (auto _ : state) {
        good = good && prepare(way, memory, pages.data());
        double start = seconds_now();
        good = good && measured(way, memory, pages.data());
        state.SetIterationTime((seconds_now() - start) / static_cast<double>(count));
    }
    way.end();
    if (!good)
        state.SkipWithError("refused, or not had here");
}

bool write_hundredth(watcher &, unsigned char *memory, void **) {
    write_some(memory, written_every);
    return true;
}

bool reset_all(watcher &way, unsigned char *memory, void **pages) {
    size_t written = way.get(memory, memory_size, pages, page_count, true);
    return written == 0 || written == written_count;
}

/* The loop of a garbage collector, each call continued behind the last page of the one before. */
bool get_by_hundreds(watcher &way, unsigned char *memory, void **pages) {
    constexpr size_t room = 100;
    unsigned char *at = memory;
    size_t total = 0, found = room;
    while (found == room && at < memory + memory_size) {
        found = way.get(at, static_cast<size_t>(memory + memory_size - at), pages, room, true);
        total += found;
        if (found == room)
            at = static_cast<unsigned char *>(pages[room - 1]) + page_size;
    }
    return total == page_count / 4;
}

template <typename Way, typename... Arguments>
void add_way(const std::string &name, bool resets, Arguments... arguments) {
    std::shared_ptr<watcher> way = std::make_shared<Way>(arguments...);
    auto row = [&](const std::string &title, const std::string &size, const operation &prepare,
                   const operation &measured, size_t count) {
        add(title, size, name, {1},
            [=](benchmark::State &state) { run(state, *way, prepare, measured, count); });
    };
    row(
        "get", "16 MiB, 1%", write_hundredth,
        [](watcher &to, unsigned char *memory, void **pages) {
            return to.get(memory, memory_size, pages, page_count, false) == written_count;
        },
        1);
    if (!resets)
        return;
    row(
        "get+reset", "16 MiB, 1%", write_hundredth,
        [](watcher &to, unsigned char *memory, void **pages) {
            return to.get(memory, memory_size, pages, page_count, true) == written_count;
        },
        1);
    row(
        "get+reset by 100", "16 MiB, 25%",
        [](watcher &, unsigned char *memory, void **) {
            write_some(memory, 4);
            return true;
        },
        get_by_hundreds, 1);
    row(
        "get+reset", "24 bytes",
        [](watcher &, unsigned char *memory, void **) {
            static_cast<volatile unsigned char *>(memory)[5 * page_size] = 1;
            return true;
        },
        [](watcher &to, unsigned char *memory, void **pages) {
            return to.get(memory + 5 * page_size + 40, 24, pages, page_count, true) == 1;
        },
        1);
    row("first write", "1 page", reset_all, write_hundredth, written_count);
}

} // namespace

void register_benchmarks() {
    add_way<moat_watcher>("moat", true, false);
    add_way<moat_watcher>("moat watch=fault", true, true);
    add_way<raw_watcher>("raw scan", true, false);
    add_way<raw_watcher>("raw fast scan", false, true);
    add_way<signal_watcher>("sigsegv", true);
}

} // namespace bench
