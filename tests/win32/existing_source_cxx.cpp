/* SPDX-License-Identifier: MIT */
/*
 * existing_source_cxx: the same for C++11: an owner of pages, an STL allocator, a walk.
 */
#ifdef _WIN32
#include <windows.h>
#else
#include <moat/win32.h>
#endif

#include <cstdio>
#include <cstdlib>
#include <new>
#include <system_error>
#include <vector>

namespace {

class VirtualBuffer {
  public:
    explicit VirtualBuffer(SIZE_T size)
        : data_(static_cast<BYTE *>(
              ::VirtualAlloc(nullptr, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE))),
          size_(size) {
        if (!data_)
            throw std::system_error(static_cast<int>(::GetLastError()), std::system_category());
    }
    ~VirtualBuffer() {
        ::VirtualFree(data_, 0, MEM_RELEASE);
    }
    VirtualBuffer(const VirtualBuffer &) = delete;
    VirtualBuffer &operator=(const VirtualBuffer &) = delete;

    void makeReadOnly() {
        DWORD old = 0;
        if (!::VirtualProtect(data_, size_, PAGE_READONLY, &old))
            throw std::system_error(static_cast<int>(::GetLastError()), std::system_category());
    }
    BYTE *data() const {
        return data_;
    }

  private:
    BYTE *data_;
    SIZE_T size_;
};

template <class T> struct PageAllocator {
    using value_type = T;
    PageAllocator() = default;
    template <class U> PageAllocator(const PageAllocator<U> &) {
    }
    T *allocate(std::size_t count) {
        LPVOID memory = VirtualAlloc(NULL, count * sizeof(T), MEM_COMMIT, PAGE_READWRITE);
        if (memory == NULL)
            throw std::bad_alloc();
        return static_cast<T *>(memory);
    }
    void deallocate(T *memory, std::size_t) {
        VirtualFree(memory, 0, MEM_RELEASE);
    }
    bool operator==(const PageAllocator &) const {
        return true;
    }
    bool operator!=(const PageAllocator &) const {
        return false;
    }
};

DWORD protectionAt(const void *address) {
    MEMORY_BASIC_INFORMATION mbi = {};
    return VirtualQuery(address, &mbi, sizeof(mbi)) ? mbi.Protect : 0;
}

void check(bool condition, const char *claim) {
    if (!condition) {
        std::printf("FAIL: %s, error %lu\n", claim, static_cast<unsigned long>(GetLastError()));
        std::exit(EXIT_FAILURE);
    }
}

} // namespace

int main() {
    SYSTEM_INFO si;
    GetSystemInfo(&si);
    check(si.dwPageSize == 4096 && si.dwAllocationGranularity == 65536, "system info");
    check((si.dwOemId & 0xFFFF) == si.wProcessorArchitecture, "anonymous members");

    VirtualBuffer buffer(3 * si.dwPageSize);
    buffer.data()[0] = 1;
    buffer.makeReadOnly();
    check(protectionAt(buffer.data()) == PAGE_READONLY, "read-only");

    std::vector<int, PageAllocator<int>> numbers;
    for (int i = 0; i < 100000; i++)
        numbers.push_back(i);
    check(numbers[99999] == 99999, "vector");

    bool thrown = false;
    try {
        VirtualBuffer empty(0);
    } catch (const std::system_error &error) {
        thrown = error.code().value() == ERROR_INVALID_PARAMETER;
    }
    check(thrown, "error of an empty buffer");
    std::printf("1 passed, 0 failed\n");
}
