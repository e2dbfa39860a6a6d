/* SPDX-License-Identifier: MIT */
/* pages: the list of page contenders, and what their traps are worth. */
#include "support/contender.h"

#include <benchmark/benchmark.h>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace bench {
namespace {

constexpr size_t probed_size = 65536;

/* Fork, do, read: a signal in the child is a trap. */
template <class Prepare> const char *outcome(Prepare prepare) {
    pid_t child = fork();
    if (child == 0) {
        /* A handler of somebody else must not turn the trap into anything but a signal. */
        std::signal(SIGSEGV, SIG_DFL);
        std::signal(SIGBUS, SIG_DFL);
        volatile char *address = prepare();
        char value = *address;
        static_cast<void>(value);
        _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return "unknown";
    return WIFSIGNALED(status) ? "traps" : "does not trap";
}

std::vector<std::unique_ptr<page_contender>> make_all() {
    std::vector<std::unique_ptr<page_contender>> made;
    made.push_back(make_moat("moat", ""));
    made.push_back(make_moat("moat mimalloc", "backend=mimalloc"));
    made.push_back(make_guarded_mmap());
    made.push_back(make_mmap());
    made.push_back(make_mimalloc());
    std::vector<std::unique_ptr<page_contender>> all;
    for (auto &contender : made) {
        if (contender != nullptr) {
            benchmark::AddCustomContext(std::string("traps of ") + contender->name(),
                                        probe_traps(*contender));
            all.push_back(std::move(contender));
        }
    }
    return all;
}

} // namespace

const std::vector<std::unique_ptr<page_contender>> &page_contenders() {
    static const std::vector<std::unique_ptr<page_contender>> contenders = make_all();
    return contenders;
}

std::string probe_traps(page_contender &contender) {
    char *live = static_cast<char *>(contender.reserve_committed(probed_size));
    if (live == nullptr)
        return "no memory";
    live[0] = 1;
    live[probed_size - 1] = 1;
    auto dead = [&contender] {
        auto *region = static_cast<volatile char *>(contender.reserve_committed(probed_size));
        region[0] = 1;
        contender.release(const_cast<char *>(region), probed_size);
        return region;
    };
    std::string text = std::string("after free ") + outcome(dead);
    text += std::string(", before the start ") + outcome([live] { return live - 1; });
    text += std::string(", past the end ") + outcome([live] { return live + probed_size; });
    contender.release(live, probed_size);
    return text;
}

} // namespace bench
