/* SPDX-License-Identifier: MIT */
/* histogram: every latency of a run, kept and sorted; a million of them is 8 MB. */
#ifndef MOAT_BENCH_HISTOGRAM_H
#define MOAT_BENCH_HISTOGRAM_H

#include <algorithm>
#include <cstddef>
#include <vector>

namespace bench {

class histogram {
  public:
    explicit histogram(size_t expected) {
        values_.reserve(expected);
    }

    void add(double value) {
        values_.push_back(value);
    }

    void merge(const histogram &other) {
        values_.insert(values_.end(), other.values_.begin(), other.values_.end());
    }

    /* The value that `share` of all do not exceed; call sort first. */
    double quantile(double share) const {
        if (values_.empty())
            return 0;
        auto last = static_cast<double>(values_.size() - 1);
        return values_[static_cast<size_t>(share * last)];
    }

    void sort() {
        std::sort(values_.begin(), values_.end());
    }

  private:
    std::vector<double> values_;
};

} // namespace bench

#endif
