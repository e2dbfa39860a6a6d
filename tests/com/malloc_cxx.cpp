/* SPDX-License-Identifier: MIT */
/*
 * malloc_cxx: a heap as C++ has it: through its class, and behind an allocator of the standard
 * library. Fails when a method of the class is another one than in C, or when a container that
 * lives on the heap and then ends leaves anything behind.
 */
#include "support/check.h"

#include <moat/heap.h>

#include <map>
#include <new>
#include <string>
#include <vector>

namespace {

IHostMalloc *the_heap;
size_t live;

/* What the standard library asks of an allocator. */
template <class T> struct host_allocator {
    using value_type = T;

    host_allocator() = default;
    template <class U> host_allocator(const host_allocator<U> &) {
    }

    T *allocate(size_t count) {
        void *memory = nullptr;
        if (the_heap->Alloc(count * sizeof(T), eTaskCritical, &memory) != S_OK)
            throw std::bad_alloc();
        live++;
        return static_cast<T *>(memory);
    }

    void deallocate(T *memory, size_t) {
        check("Free", S_OK, the_heap->Free(memory));
        live--;
    }

    template <class U> bool operator==(const host_allocator<U> &) const {
        return true;
    }
    template <class U> bool operator!=(const host_allocator<U> &) const {
        return false;
    }
};

using text = std::basic_string<char, std::char_traits<char>, host_allocator<char>>;
using dictionary =
    std::map<text, std::vector<int, host_allocator<int>>, std::less<text>,
             host_allocator<std::pair<const text, std::vector<int, host_allocator<int>>>>>;

void use_containers() {
    dictionary words;
    for (int i = 0; i < 20000; i++)
        words[text("a word that does not fit into the string itself ") +
              text(std::to_string(i % 700).c_str())]
            .push_back(i);
    size_t sum = 0;
    for (const auto &entry : words)
        sum += entry.second.size();
    check("distinct words", 700, static_cast<intmax_t>(words.size()));
    check("all words", 20000, static_cast<intmax_t>(sum));
    check("blocks are live", 1, live >= 1400);
}

} // namespace

int main() {
    IHostMemoryManager *manager = create_manager();
    void *block = nullptr;
    char file[] = "malloc_cxx.cpp";

    check("CreateMalloc", S_OK, manager->CreateMalloc(MALLOC_THREADSAFE, &the_heap));
    check("DebugAlloc", S_OK, the_heap->DebugAlloc(10, eAppDomainCritical, file, 1, &block));
    check("Free", S_OK, the_heap->Free(block));
    check("Free again", HOST_E_INVALIDOPERATION, the_heap->Free(block));
    use_containers();
    check("nothing is left", 0, static_cast<intmax_t>(live));
    check("the last release", 0, static_cast<intmax_t>(the_heap->Release()));
    check("the last release", 0, static_cast<intmax_t>(manager->Release()));
    return check_end();
}
