/* SPDX-License-Identifier: MIT */
/*
 * pages_locked: guarded mmap behind a mutex and a hash map that knows what is live.
 *
 * The plain way to refuse a foreign or double free, and so the peer of bench_races.
 */
#include "support/contender.h"

#include "support/keys.h"

#include <mutex>
#include <unordered_map>

namespace bench {
namespace {

struct address_hash {
    size_t operator()(const void *address) const {
        return mix(reinterpret_cast<uint64_t>(address));
    }
};

class locked_mmap : public page_contender {
  public:
    const char *name() const override {
        return "mutex+map+mmap";
    }

    bool traps() const override {
        return true;
    }

    bool checks() const override {
        return true;
    }

    void *reserve(size_t size) override {
        return enter(pages_->reserve(size), size);
    }

    void *reserve_committed(size_t size) override {
        return enter(pages_->reserve_committed(size), size);
    }

    bool commit(void *region, size_t offset, size_t size, unsigned protection) override {
        return pages_->commit(region, offset, size, protection);
    }

    bool decommit(void *region, size_t offset, size_t size) override {
        return pages_->decommit(region, offset, size);
    }

    bool protect(void *region, size_t offset, size_t size, unsigned protection) override {
        return pages_->protect(region, offset, size, protection);
    }

    bool release(void *region, size_t) override {
        size_t size;
        {
            std::lock_guard<std::mutex> hold(lock_);
            auto found = live_.find(region);
            if (found == live_.end())
                return false;
            size = found->second;
            live_.erase(found);
        }
        return pages_->release(region, size);
    }

  private:
    void *enter(void *region, size_t size) {
        if (region != nullptr) {
            std::lock_guard<std::mutex> hold(lock_);
            live_.emplace(region, size);
        }
        return region;
    }

    std::unique_ptr<page_contender> pages_ = make_guarded_mmap();
    std::mutex lock_;
    std::unordered_map<void *, size_t, address_hash> live_;
};

} // namespace

std::unique_ptr<page_contender> make_locked_map() {
    return std::make_unique<locked_mmap>();
}

} // namespace bench
