// SPDX-License-Identifier: MIT
//
// example_pmr: words are counted in containers whose memory is a heap of Moat, and a matrix lies in
// a region of its own: the way to use <moat/memory_resource.hpp>.
#include <moat/memory_resource.hpp>

#include <cstdio>
#include <map>
#include <sstream>
#include <string>
#include <vector>

int main() {
    struct moat_manager *manager;
    if (moat_manager_create(nullptr, &manager))
        return 1;
    bool right = false;
    {
        moat::heap_resource heap(manager);
        std::pmr::map<std::pmr::string, int> counts(&heap);
        std::istringstream text("the cat and the dog and the unreasonably long-winded other cat");
        for (std::string word; text >> word;)
            counts[std::pmr::string(word, &heap)]++;

        moat::region_resource regions(manager);
        std::pmr::vector<double> matrix(512 * 512, 1.0, &regions); // 2 MiB with guards
        double trace = 0;
        for (std::size_t i = 0; i < 512; i++)
            trace += matrix[i * 513];

        for (const auto &[word, count] : counts)
            std::printf("%s %d\n", word.c_str(), count);
        right = counts.size() == 7 && counts["the"] == 3 && trace == 512;
    }
    moat_manager_destroy(manager);
    return right ? 0 : 1;
}
