/* SPDX-License-Identifier: MIT */
/* pages_moat: Moat through its native API, with a manager of its own for each set of options. */
#include "support/contender.h"

#include <moat/moat.h>

#include <benchmark/benchmark.h>

#include <array>
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

namespace bench {
namespace {

uint32_t native(unsigned protection) {
    static constexpr std::array<uint32_t, 8> by_bits = {
        MOAT_PAGE_NOACCESS,          MOAT_PAGE_READONLY,          MOAT_PAGE_READWRITE,
        MOAT_PAGE_READWRITE,         MOAT_PAGE_EXECUTE,           MOAT_PAGE_EXECUTE_READ,
        MOAT_PAGE_EXECUTE_READWRITE, MOAT_PAGE_EXECUTE_READWRITE,
    };
    return by_bits[protection & 7];
}

bool accepted(const char *call, enum moat_status status) {
    if (status == MOAT_OK)
        return true;
    std::fprintf(stderr, "%s: %s: %s\n", call, moat_status_describe(status)->name,
                 moat_last_error_text());
    return false;
}

class moat_pages : public page_contender {
  public:
    moat_pages(const char *name, moat_manager *manager) : name_(name), manager_(manager) {
    }

    ~moat_pages() override {
        moat_manager_destroy(manager_);
    }

    const char *name() const override {
        return name_.c_str();
    }

    bool traps() const override {
        return true;
    }

    bool checks() const override {
        return true;
    }

    void *reserve(size_t size) override {
        return reserve_as(size, 0);
    }

    void *reserve_committed(size_t size) override {
        return reserve_as(size, MOAT_RESERVE_COMMIT);
    }

    bool commit(void *region, size_t offset, size_t size, unsigned protection) override {
        char *at = static_cast<char *>(region) + offset;
        return accepted("moat_commit",
                        moat_commit(manager_, at, size, native(protection), nullptr));
    }

    bool decommit(void *region, size_t offset, size_t size) override {
        char *at = static_cast<char *>(region) + offset;
        return accepted("moat_decommit", moat_decommit(manager_, at, size));
    }

    bool protect(void *region, size_t offset, size_t size, unsigned protection) override {
        uint32_t old;
        char *at = static_cast<char *>(region) + offset;
        return accepted("moat_protect", moat_protect(manager_, at, size, native(protection), &old));
    }

    /* Silent: a refusal is what bench_races asks for. */
    bool release(void *region, size_t) override {
        return moat_release(manager_, region) == MOAT_OK;
    }

  private:
    void *reserve_as(size_t size, uint32_t flags) {
        void *base;
        enum moat_status status =
            moat_reserve(manager_, nullptr, size, MOAT_PAGE_READWRITE, flags, &base);
        return accepted("moat_reserve", status) ? base : nullptr;
    }

    std::string name_;
    moat_manager *manager_;
};

std::vector<std::string> words_of(const moat_options &options) {
    char text[2048];
    moat_options_print(&options, text, sizeof text);
    std::istringstream stream(text);
    std::vector<std::string> words;
    for (std::string word; std::getline(stream, word, ',');)
        words.push_back(word);
    return words;
}

/* The words that are not what moat_options_init sets. */
std::string not_default(const moat_options &options) {
    moat_options usual;
    moat_options_init(&usual);
    const std::vector<std::string> defaults = words_of(usual), words = words_of(options);
    std::string text;
    for (size_t i = 0; i < words.size(); i++)
        if (words[i] != defaults[i])
            text += (text.empty() ? "" : ",") + words[i];
    return text.empty() ? "defaults" : text;
}

} // namespace

std::unique_ptr<page_contender> make_moat(const char *name, const char *words) {
    moat_options options;
    moat_manager *manager = nullptr;
    moat_options_init(&options);
    if (!accepted("moat_options_parse", moat_options_parse(&options, words, nullptr, 0)) ||
        !accepted("moat_manager_create", moat_manager_create(&options, &manager)))
        return nullptr;
    benchmark::AddCustomContext(std::string("options of ") + name,
                                not_default(*moat_manager_options(manager)));
    return std::make_unique<moat_pages>(name, manager);
}

} // namespace bench
