#include "cuda/host_paged.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "cuda/dispatch.hpp"

namespace frugal::cuda {
namespace {

constexpr double nothing = -std::numeric_limits<double>::infinity();

/// A sequence as the plan's arrays tell it.
struct Lengths {
  std::int64_t rows, keys, left;  // left: keys before a row's own that it sees
};

template <class T>
class Twin {
 public:
  explicit Twin(const PagedAttention& a) : a_(a), group_(a.heads.group()), chunk_(*a.chunk) {}

  void run() const {
    for (std::uint32_t block = 0; block < a_.blocks; ++block)
      for (std::uint32_t head = 0; head < a_.heads.kv_heads; ++head) run(block, head);
    if (!a_.split) return;
    for (std::uint32_t row = 0; row < a_.rows; ++row)
      for (std::uint32_t head = 0; head < a_.heads.heads; ++head) merge(row, head);
  }

 private:
  Lengths lengths(std::int32_t sequence) const {
    const std::int64_t pages = a_.page_starts[sequence + 1] - a_.page_starts[sequence];
    const std::int64_t keys = pages == 0 ? 0 : (pages - 1) * a_.page_tokens + a_.last_page[sequence];
    const std::int64_t rows = a_.row_starts[sequence + 1] - a_.row_starts[sequence];
    return {rows, keys, a_.window == 0 ? keys : std::int64_t{a_.window} - 1};
  }

  void run(std::uint32_t block, std::uint32_t kv_head) const {
    if (a_.block_used[block] == 0) return;
    const std::int32_t sequence = a_.block_sequence[block];
    const std::int64_t tile = a_.block_tile[block], part = a_.block_chunk[block];
    const Lengths s = lengths(sequence);
    const std::int64_t start = std::max<std::int64_t>(0, s.keys + tile * a_.tile / group_ - s.rows - s.left);
    const std::int64_t first = a_.split ? std::min(start + part * chunk_, s.keys) : start;
    const std::int64_t end = a_.split ? std::min(start + (part + 1) * chunk_, s.keys) : s.keys;
    const std::int64_t widest = std::min(std::max<std::int64_t>(s.keys, 1), s.left + a_.tile);
    const std::int64_t parts = (widest + chunk_ - 1) / chunk_;
    for (std::int64_t n = tile * a_.tile; n < std::min((tile + 1) * a_.tile, s.rows * group_); ++n) {
      const std::int64_t row = n / group_, head = kv_head * group_ + n % group_;
      const std::int64_t seen = std::max(first, s.keys - s.rows + row - s.left);
      const std::int64_t at = a_.out_starts[sequence] + (a_.split ? row * parts + part : row);
      attend({sequence, row, head, seen, std::min(end, s.keys - s.rows + row + 1)}, at);
    }
  }

  struct Piece {
    std::int32_t sequence;
    std::int64_t row, head, first, end;  // keys [first, end)
  };

  const T* element(const void* layer, const Piece& p, std::int64_t key) const {
    const std::int64_t page = a_.pages[a_.page_starts[p.sequence] + key / a_.page_tokens], slot = key % a_.page_tokens;
    return static_cast<const T*>(layer) + page * a_.granule +
           (slot * a_.heads.kv_heads + p.head / group_) * a_.heads.head_dim;
  }

  void attend(const Piece& p, std::int64_t at) const {
    const std::size_t dims = a_.heads.head_dim;
    const T* const q =
        static_cast<const T*>(a_.q) + (a_.row_starts[p.sequence] + p.row) * a_.q_row + p.head * a_.q_head;
    std::vector<double> scores, mixed(dims, 0.0);
    for (std::int64_t key = p.first; key < p.end; ++key) {
      const T* const k = element(a_.keys, p, key);
      double score = 0;
      for (std::size_t i = 0; i < dims; ++i) score += double{to_float(q[i])} * double{to_float(k[i])};
      scores.push_back(score * double{a_.scale});
    }
    const double most = scores.empty() ? nothing : *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    for (std::size_t n = 0; n < scores.size(); ++n) {
      const double share = std::exp(scores[n] - most);
      const T* const v = element(a_.values, p, p.first + static_cast<std::int64_t>(n));
      for (std::size_t i = 0; i < dims; ++i) mixed[i] += share * double{to_float(v[i])};
      sum += share;
    }
    if (!scores.empty())
      for (double& x : mixed) x /= sum;
    const std::int64_t to = at * a_.heads.heads + p.head;
    store(a_.split ? a_.parts : a_.out, to, mixed);
    if (a_.split) a_.weights[to] = static_cast<float>(scores.empty() ? nothing : std::log2(sum) + most / std::log(2.0));
  }

  void store(void* array, std::int64_t at, const std::vector<double>& values) const {
    T* const to = static_cast<T*>(array) + at * a_.heads.head_dim;
    for (std::size_t i = 0; i < values.size(); ++i) to[i] = rounded<T>(static_cast<float>(values[i]));
  }

  void merge(std::uint32_t row, std::uint32_t head) const {
    const auto weight = [&](std::int64_t part) { return double{a_.weights[part * a_.heads.heads + head]}; };
    double most = nothing, sum = 0;
    for (std::int64_t p = a_.part_starts[row]; p < a_.part_starts[row + 1]; ++p) most = std::max(most, weight(p));
    std::vector<double> mixed(a_.heads.head_dim, 0.0);
    for (std::int64_t p = a_.part_starts[row]; p < a_.part_starts[row + 1]; ++p) {
      const double share = most == nothing ? 0.0 : std::exp2(weight(p) - most);
      const T* const from = static_cast<const T*>(a_.parts) + (p * a_.heads.heads + head) * a_.heads.head_dim;
      for (std::size_t i = 0; i < mixed.size(); ++i) mixed[i] += share * double{to_float(from[i])};
      sum += share;
    }
    if (sum > 0)
      for (double& x : mixed) x /= sum;
    store(a_.out, std::int64_t{row} * a_.heads.heads + head, mixed);
  }

  const PagedAttention& a_;
  const std::int64_t group_, chunk_;
};

}  // namespace

int host_paged_attention(const PagedAttention& a, Element type, void*) noexcept {
  return with_element(type, [&]<class T>(Type<T>) {
    Twin<T>(a).run();
    return 0;
  });
}

}  // namespace frugal::cuda
