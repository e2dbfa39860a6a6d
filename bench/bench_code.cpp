/* SPDX-License-Identifier: MIT */
/*
 * bench_code: what does it cost a program that generates code never to have memory that is writable
 * and executable?
 *
 * Each operation is the whole life of a function of 256 bytes: room for it, writing it, making it
 * executable, calling it, giving it back. In "its own pages" each has pages of its own, which trap
 * when it is given back (but for "toggled"); "rwx" has one mapping that is writable and executable
 * for good, "toggled" changes the rights of one page to and fro, "by hand" maps both views of a
 * memfd anew for each function, as programs do that have no heap of the kind. In "cut from a block"
 * the program cuts functions from a block of 64 KiB that it has, and nothing is given back but with
 * it.
 */
#include "support/run.h"

#include <moat/code.h>

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <memory>

namespace bench {
namespace {

constexpr size_t page_size = 4096;
constexpr size_t code_size = 256;
constexpr size_t block_size = 65536;

#if defined(__x86_64__)
constexpr unsigned char last[] = {0xC3};
constexpr unsigned char filler = 0x90;
#elif defined(__aarch64__)
constexpr unsigned char last[] = {0xC0, 0x03, 0x5F, 0xD6};
constexpr unsigned char filler = 0;
#endif

/* A function that returns at once; the bytes behind that are what it costs to write. */
void write_code(void *to) {
    std::memset(to, filler, code_size);
    std::memcpy(to, last, sizeof last);
}

void call(void *code) {
    void (*function)();
    std::memcpy(&function, &code, sizeof function);
    function();
}

void flush(void *code) {
    char *start = static_cast<char *>(code);
    __builtin___clear_cache(start, start + code_size);
}

class way {
  public:
    virtual ~way() = default;
    virtual bool begin() = 0;
    virtual void end() = 0;
    virtual bool live() = 0; /* one function */
};

class moat_heap : public way {
  public:
    explicit moat_heap(bool sealed) : sealed_(sealed) {
    }

    bool begin() override {
        struct moat_options options;
        moat_options_init(&options);
        options.execute = MOAT_EXECUTE_WX;
        return moat_manager_create(&options, &manager_) == MOAT_OK &&
               moat_code_heap_create(manager_, 64 << 20, nullptr, &heap_) == MOAT_OK;
    }

    void end() override {
        moat_code_heap_destroy(heap_);
        moat_manager_destroy(manager_);
    }

    bool live() override {
        struct moat_code_block block;
        if (moat_code_alloc(heap_, code_size, &block) != MOAT_OK)
            return false;
        write_code(block.write);
        if (moat_code_publish(heap_, block.execute) != MOAT_OK ||
            (sealed_ && moat_code_seal(heap_, block.execute) != MOAT_OK))
            return false;
        call(block.execute);
        return moat_code_free(heap_, block.execute) == MOAT_OK;
    }

  protected:
    bool sealed_;
    struct moat_manager *manager_ = nullptr;
    struct moat_code_heap *heap_ = nullptr;
};

class moat_cut : public moat_heap {
  public:
    moat_cut() : moat_heap(false) {
    }

    bool begin() override {
        return moat_heap::begin() && moat_code_alloc(heap_, block_size, &block_) == MOAT_OK &&
               moat_code_publish(heap_, block_.execute) == MOAT_OK;
    }

    bool live() override {
        used_ = (used_ + code_size) % block_size;
        char *code = static_cast<char *>(block_.execute) + used_;
        write_code(static_cast<char *>(block_.write) + used_);
        flush(code);
        call(code);
        return true;
    }

  private:
    struct moat_code_block block_ = {};
    size_t used_ = 0;
};

class one_mapping : public way {
  public:
    explicit one_mapping(bool toggled) : toggled_(toggled) {
    }

    bool begin() override {
        int rights = PROT_READ | PROT_WRITE | (toggled_ ? 0 : PROT_EXEC);
        void *base = mmap(nullptr, block_size, rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        base_ = static_cast<char *>(base);
        return base != MAP_FAILED;
    }

    void end() override {
        munmap(base_, block_size);
    }

    bool live() override {
        used_ = (used_ + (toggled_ ? page_size : code_size)) % block_size;
        char *code = base_ + used_;
        write_code(code);
        flush(code);
        if (toggled_ && mprotect(code, page_size, PROT_READ | PROT_EXEC) != 0)
            return false;
        call(code);
        return !toggled_ || mprotect(code, page_size, PROT_READ | PROT_WRITE) == 0;
    }

  private:
    bool toggled_;
    char *base_ = nullptr;
    size_t used_ = 0;
};

class by_hand : public way {
  public:
    bool begin() override {
        file_ = static_cast<int>(syscall(SYS_memfd_create, "bench", 1));
        return file_ >= 0 && ftruncate(file_, block_size) == 0;
    }

    void end() override {
        close(file_);
    }

    bool live() override {
        used_ = (used_ + page_size) % block_size;
        off_t at = static_cast<off_t>(used_);
        void *write = mmap(nullptr, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, file_, at);
        void *execute = mmap(nullptr, page_size, PROT_READ | PROT_EXEC, MAP_SHARED, file_, at);
        if (write == MAP_FAILED || execute == MAP_FAILED)
            return false;
        write_code(write);
        flush(execute);
        call(execute);
        return munmap(write, page_size) == 0 && munmap(execute, page_size) == 0;
    }

  private:
    int file_ = -1;
    size_t used_ = 0;
};

void add_way(const std::string &row, const std::string &name, const std::shared_ptr<way> &it) {
    add(
        "code " + row, "256 bytes", name, {1},
        [=](benchmark::State &state) {
            constexpr unsigned batch = 64;
            bool good = it->begin();
            for (auto _ : state) {
                double start = seconds_now();
                for (unsigned i = 0; i < batch; i++)
                    good = good && it->live();
                state.SetIterationTime((seconds_now() - start) / batch);
            }
            it->end();
            if (!good)
                state.SkipWithError("refused, or not had here");
        },
        300);
}

} // namespace

void register_benchmarks() {
    add_way("in its own pages", "moat", std::make_shared<moat_heap>(false));
    add_way("in its own pages", "moat, sealed", std::make_shared<moat_heap>(true));
    add_way("in its own pages", "toggled", std::make_shared<one_mapping>(true));
    add_way("in its own pages", "by hand", std::make_shared<by_hand>());
    add_way("cut from a block", "moat", std::make_shared<moat_cut>());
    add_way("cut from a block", "rwx", std::make_shared<one_mapping>(false));
}

} // namespace bench
