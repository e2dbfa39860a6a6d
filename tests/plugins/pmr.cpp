// SPDX-License-Identifier: MIT
//
// pmr: what <memory_resource> asks of a resource, of regions and of heaps: sizes, alignments,
// exceptions, equality; containers, pools and threads on them; and what Moat adds: what was
// deallocated traps, and what is not live ends the process.
//
// Then with resources that are wrong, each in a child, which has to fail.
#include <moat/memory_resource.hpp>

#include <cstdio>
#include <cstring>
#include <functional>
#include <list>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <csignal>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            std::fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                   \
            std::fprintf(stderr, __VA_ARGS__);                                                     \
            std::fputc('\n', stderr);                                                              \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

using resource = std::pmr::memory_resource;

static constexpr unsigned seed = 20263;
static constexpr std::size_t mebibyte = 1 << 20;
static struct moat_manager *manager;
static unsigned long allocations;

// What a resource has out: all of it has to come back.
using count = std::function<unsigned long long()>;

struct block {
    unsigned char *address;
    std::size_t size, alignment;
    unsigned char fill;
};

static void give(resource &from, const block &live) {
    CHECK(live.address[0] == live.fill && live.address[live.size - 1] == live.fill,
          "%zu bytes changed", live.size);
    from.deallocate(live.address, live.size, live.alignment);
}

static void sizes_and_alignments(resource &from, const count &out, std::size_t most) {
    std::mt19937 random(seed);
    std::vector<block> live;
    auto before = out();

    for (int i = 0; i < 2000; i++) {
        if (!live.empty() && random() % 3 == 0) {
            auto which = random() % live.size();
            give(from, live[which]);
            live[which] = live.back();
            live.pop_back();
            continue;
        }
        std::size_t size = 1 + random() % (i % 10 ? 3000 : most);
        std::size_t alignment = std::size_t{1} << random() % (i % 5 ? 5 : 21);
        auto *address = static_cast<unsigned char *>(from.allocate(size, alignment));
        struct moat_page_info info;
        CHECK(address && reinterpret_cast<std::uintptr_t>(address) % alignment == 0, "%zu at %p",
              alignment, static_cast<void *>(address));
        CHECK(!moat_query(address, &info) && info.owner == manager, "not the manager's");
        block now = {address, size, alignment, static_cast<unsigned char>(1 + random() % 255)};
        std::memset(address, now.fill, size);
        live.push_back(now);
        allocations++;
    }
    for (const auto &each : live)
        give(from, each);
    from.deallocate(from.allocate(0), 0);
    CHECK(out() == before, "%llu are left", out() - before);
}

static bool throws_bad_alloc(resource &from, std::size_t size, std::size_t alignment) {
    try {
        void *block = from.allocate(size, alignment);
        from.deallocate(block, size, alignment);
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

static void what_cannot_be_throws(resource &from, const count &out) {
    auto before = out();

    CHECK(throws_bad_alloc(from, SIZE_MAX, 1), "all of it");
    CHECK(throws_bad_alloc(from, SIZE_MAX - 32, 64), "all of it, aligned");
    CHECK(throws_bad_alloc(from, SIZE_MAX / 2, 16), "half of it");
    CHECK(throws_bad_alloc(from, 600 * mebibyte, 16), "more than the quota");
    CHECK(!throws_bad_alloc(from, mebibyte, 16), "after it");
    bool caught = false;
    std::pmr::vector<char> large(&from);
    try {
        large.resize(600 * mebibyte);
    } catch (const std::bad_alloc &) {
        caught = true;
    }
    CHECK(caught && large.empty() && out() == before, "a vector beyond the quota");
}

static void containers(resource &from, const count &out, int entries) {
    auto before = out();
    {
        std::pmr::map<int, std::pmr::string> words(&from);
        std::pmr::list<std::pmr::vector<int>> lists(&from);
        for (int i = 0; i < entries; i++) {
            words.emplace(i * 7919 % entries, std::string(static_cast<std::size_t>(i % 90), 'w'));
            lists.emplace_back(static_cast<std::size_t>(i % 50), i);
        }
        CHECK(words.get_allocator().resource() == &from, "another resource");
        for (int i = 0; i < entries; i += 2)
            words.erase(i);
        CHECK(words.size() == static_cast<std::size_t>(entries / 2), "%zu words", words.size());
        for (const auto &[key, word] : words)
            CHECK(key % 2 == 1 && word.find_first_not_of('w') == std::string::npos, "%d", key);
        for (const auto &list : lists)
            CHECK(list.empty() || list.front() == list.back(), "a list");
        std::pmr::vector<std::pmr::string> copy(&from);
        for (const auto &entry : words)
            copy.push_back(entry.second);
        copy = std::pmr::vector<std::pmr::string>(copy, &from);
    }
    CHECK(out() == before, "containers left %llu", out() - before);
}

static void pools(resource &from, const count &out) {
    auto before = out();
    {
        std::pmr::unsynchronized_pool_resource pool(&from);
        containers(
            pool, [] { return 0ull; }, 3000);
        std::pmr::monotonic_buffer_resource monotonic(&from);
        containers(
            monotonic, [] { return 0ull; }, 1000);
        std::pmr::synchronized_pool_resource shared(&from);
        std::vector<std::thread> threads;
        for (int i = 0; i < 4; i++)
            threads.emplace_back([&] {
                containers(
                    shared, [] { return 0ull; }, 1500);
            });
        for (auto &thread : threads)
            thread.join();
        CHECK(out() > before, "the pools took nothing");
    }
    CHECK(out() == before, "pools left %llu", out() - before);
}

// The signal that ends a child which does this; 0 if it goes on.
static int ends(const std::function<void()> &deed) {
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        std::signal(SIGSEGV, SIG_DFL);
        if (!std::freopen("/dev/null", "w", stderr))
            _exit(0);
        deed();
        _exit(0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child, "no child");
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void misuse_ends_the_process(resource &from) {
    auto *block = static_cast<volatile char *>(from.allocate(2 * mebibyte));
    void *address = const_cast<char *>(block);

    block[0] = 1;
    CHECK(ends([&] { block[2 * mebibyte] = 1; }) == SIGSEGV, "past the end");
    CHECK(ends([&] {
              from.deallocate(address, 2 * mebibyte);
              block[0] = 1;
          }) == SIGSEGV,
          "after it was deallocated");
    CHECK(ends([&] {
              from.deallocate(address, 2 * mebibyte);
              from.deallocate(address, 2 * mebibyte);
          }) == SIGABRT,
          "deallocated twice");
    CHECK(ends([&] { from.deallocate(const_cast<unsigned *>(&seed), 4); }) == SIGABRT,
          "deallocated what is not its own");
    CHECK(ends([&] { from.deallocate(address, 2 * mebibyte); }) == 0, "the control");
    from.deallocate(address, 2 * mebibyte);
}

static void contract(resource &from, resource &other, const count &out, std::size_t most) {
    CHECK(from.is_equal(from) && !from.is_equal(other) && from != other, "equality");
    sizes_and_alignments(from, out, most);
    what_cannot_be_throws(from, out);
    containers(from, out, most > mebibyte ? 300 : 5000);
    pools(from, out);
    misuse_ends_the_process(from);
}

static unsigned long long regions() {
    struct moat_stats stats;

    CHECK(!moat_stats_read(manager, &stats) && stats.refused == 0, "refused");
    return stats.regions_live;
}

static void make_manager() {
    struct moat_options options;

    moat_options_init(&options);
    options.quota_bytes = 512 * mebibyte;
    CHECK(!moat_manager_create(&options, &manager), "%s", moat_last_error_text());
}

static void constructors_throw() {
    try {
        moat::region_resource nobody(nullptr);
        CHECK(false, "made of nothing");
    } catch (const moat::error &error) {
        CHECK(error.status() == MOAT_NO_ACCESS && *error.what(), "another reason");
    }
    try {
        moat::heap_resource wrong(manager, 0x80000000u);
        CHECK(false, "made with flags that there are not");
    } catch (const std::bad_alloc &error) {
        CHECK(std::strcmp(error.what(), moat_status_describe(MOAT_INVALID_ARGUMENT)->text) == 0,
              "%s", error.what());
    }
}

// Passes all on, but for what is planted.
enum fault { no_alignment, no_deallocate, no_throw, all_equal, late_free, faults };

class wrong_resource : public resource {
  public:
    wrong_resource(resource &right, fault planted) : right_(right), planted_(planted) {
    }

  private:
    void *do_allocate(std::size_t bytes, std::size_t alignment) override {
        if (planted_ == no_alignment)
            return static_cast<char *>(right_.allocate(bytes + 16, 16)) + (alignment > 16 ? 16 : 0);
        try {
            return right_.allocate(bytes, alignment);
        } catch (const std::bad_alloc &) {
            if (planted_ == no_throw)
                return nullptr;
            throw;
        }
    }
    void do_deallocate(void *block, std::size_t bytes, std::size_t alignment) override {
        if (planted_ == no_deallocate && bytes > 2000)
            return;
        if (planted_ == late_free && bytes >= mebibyte)
            std::swap(block, late_);
        if (block)
            right_.deallocate(block, bytes, alignment);
    }
    bool do_is_equal(const resource &other) const noexcept override {
        return planted_ == all_equal || this == &other;
    }

    resource &right_;
    fault planted_;
    void *late_ = nullptr;
};

static const char *const names[] = {"aligns nothing", "keeps what is deallocated",
                                    "returns nullptr", "equals all others", "frees later"};

int main() {
    int noticed = 0;

    make_manager();
    moat::region_resource regions_one(manager), regions_two(manager);
    for (int planted = 0; planted < faults; planted++) {
        wrong_resource wrong(regions_one, static_cast<fault>(planted));
        bool is_noticed = ends([&] { contract(wrong, regions_two, regions, 3 * mebibyte); }) != 0;
        std::printf("planted: a resource that %s: %s\n", names[planted],
                    is_noticed ? "noticed" : "NOT NOTICED");
        noticed += is_noticed;
    }
    constructors_throw();
    contract(regions_one, regions_two, regions, 3 * mebibyte);
    {
        moat::heap_resource heap_one(manager), heap_two(manager);
        contract(
            heap_one, heap_two,
            [&] {
                struct moat_heap_stats stats;
                CHECK(!moat_heap_stats_read(heap_one.heap(), &stats), "no counters");
                return static_cast<unsigned long long>(stats.blocks);
            },
            mebibyte);
    }
    CHECK(regions() == 0, "%llu regions are left", regions());
    moat_manager_destroy(manager);
    std::printf(
        "seed %u: %lu allocations, containers and pools on both resources, %d of %d planted "
        "faults noticed\n",
        seed, allocations, noticed, static_cast<int>(faults));
    return noticed == faults ? 0 : 1;
}
