/* SPDX-License-Identifier: MIT */
/* barrier: a meeting point for a fixed number of threads, again and again; they sleep, not spin. */
#ifndef MOAT_BENCH_BARRIER_H
#define MOAT_BENCH_BARRIER_H

#include <pthread.h>

namespace bench {

class barrier {
  public:
    explicit barrier(int threads) {
        pthread_barrier_init(&barrier_, nullptr, static_cast<unsigned>(threads));
    }

    ~barrier() {
        pthread_barrier_destroy(&barrier_);
    }

    barrier(const barrier &) = delete;
    barrier &operator=(const barrier &) = delete;

    void meet() {
        pthread_barrier_wait(&barrier_);
    }

  private:
    pthread_barrier_t barrier_;
};

} // namespace bench

#endif
