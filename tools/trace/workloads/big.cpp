// SPDX-License-Identifier: MIT
//
// A large translation unit for a compiler: heavy headers of the standard library, and templates
// that make it instantiate, inline and optimise much. It is compiled, never run.

#include <algorithm>
#include <chrono>
#include <functional>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

template <int N> struct key {
    int value[N % 7 + 1];
    std::string name;
    bool operator<(const key &other) const { return name < other.name; }
};

using any = std::variant<int, double, std::string, std::vector<int>>;

template <int N> std::size_t fill() {
    std::map<key<N>, std::vector<std::tuple<int, std::string, any>>> map;
    std::unordered_map<std::string, std::shared_ptr<key<N>>> index;
    for (int i = 0; i < N; i++) {
        key<N> k{{i}, std::to_string(i * N)};
        map[k].emplace_back(i, k.name, any{k.name});
        map[k].emplace_back(i, k.name, any{std::vector<int>(N, i)});
        index.emplace(k.name, std::make_shared<key<N>>(k));
    }
    std::size_t sum = index.size();
    for (auto &[k, values] : map) {
        std::sort(values.begin(), values.end(),
                  [](const auto &a, const auto &b) { return std::get<1>(a) > std::get<1>(b); });
        for (auto &value : values)
            sum += std::visit(
                [](const auto &v) -> std::size_t {
                    if constexpr (std::is_arithmetic_v<std::decay_t<decltype(v)>>)
                        return static_cast<std::size_t>(v);
                    else
                        return v.size();
                },
                std::get<2>(value));
    }
    return sum;
}

template <int... N> std::size_t fill_all(std::integer_sequence<int, N...>) {
    return (fill<N + 1>() + ... + 0);
}

int main(int argc, char **argv) {
    std::regex expression("([a-z]+)-([0-9]+)(?:\\.([a-z]*))?");
    std::smatch match;
    std::string text = argc > 1 ? argv[1] : "moat-1.x";
    auto later = std::async([] { return fill_all(std::make_integer_sequence<int, 22>()); });
    if (std::regex_match(text, match, expression))
        std::cout << match[1] << later.get() << '\n';
    return 0;
}
