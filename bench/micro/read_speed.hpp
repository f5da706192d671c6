// What some threads together read of the memory: the roof over steps of one row.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <thread>
#include <vector>

namespace bench {

/// Bytes a second that `threads` threads read together from memory, 64 MiB each; the best of several rounds.
inline double read_speed(unsigned threads) {
  constexpr std::size_t words = std::size_t{8} << 20;
  std::vector<std::vector<std::uint64_t>> blocks(threads, std::vector<std::uint64_t>(words, 1));
  std::vector<std::uint64_t> sums(threads);
  double best = 0;
  for (int round = 0; round < 8; ++round) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> team;
    for (unsigned t = 0; t < threads; ++t)
      team.emplace_back([&, t] { sums[t] += std::accumulate(blocks[t].begin(), blocks[t].end(), std::uint64_t{0}); });
    for (auto& member : team) member.join();
    const double time = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, static_cast<double>(threads) * words * 8 / time);
  }
  return best + static_cast<double>(sums[0] % 2) * 1e-9;  // the sums are wanted
}

}  // namespace bench
