// Plans of attention over pages, by brute force: what the arrays say, walked as the kernels walk them.
#include "cuda/paged_plan.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "cuda/arrays.hpp"
#include "cuda/kernels.hpp"

namespace frugal::cuda::testing {
namespace {

struct Step {
  PagedLimits limits;
  std::vector<PagedSequence> sequences;
};

/// Decode, verify, prefill and mixtures of them, with and without windows and a fixed shape.
Step random_step(std::mt19937_64& random, std::size_t longest) {
  Step s;
  const std::uint32_t kv_heads = static_cast<std::uint32_t>(any_of(random, 1, 4));
  const std::uint32_t group = static_cast<std::uint32_t>(any_of(random, 1, 8));
  s.limits.heads = {kv_heads * group, kv_heads, random() % 4 == 0 ? 256U : 64U};
  s.limits.page_tokens = 1U << any_of(random, 0, 6);
  s.limits.multiprocessors = static_cast<std::uint32_t>(any_of(random, 0, 2) == 0 ? 2 : any_of(random, 1, 140));
  if (random() % 2 == 0) s.limits.window = static_cast<std::uint32_t>(any_of(random, 1, longest));
  const std::size_t kind = random() % 3, count = any_of(random, 1, 12);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t rows = kind == 0 ? 1 : kind == 1 ? any_of(random, 1, 8) : any_of(random, 1, 200);
    const std::size_t keys = rows + (random() % 4 == 0 ? 0 : random() % longest);
    s.sequences.push_back({static_cast<std::uint32_t>(rows), static_cast<std::uint32_t>(keys)});
  }
  if (kind != 2 && random() % 2 == 0) {  // a recorded step: all have the same rows, of which some are padding
    s.limits.most_rows = 8, s.limits.most_keys = 0;
    for (PagedSequence& q : s.sequences) {
      q.rows = 8;
      s.limits.most_keys = std::max(s.limits.most_keys, q.keys + static_cast<std::uint32_t>(random() % 300));
    }
  }
  return s;
}

/// What a block does, by the kernels' source.
struct Reach {
  std::int64_t first_row, end_row;  ///< of the rows of all heads of a group
  std::int64_t first, end;          ///< keys
  std::int64_t parts;               ///< of each row
};

Reach reach_of(const Step& s, const PagedPlan& p, std::size_t block) {
  const auto sequence = static_cast<std::size_t>(p.block_sequence[block]);
  const std::int64_t group = s.limits.heads.group(), tile = p.tile, chunk = p.chunk;
  const std::int64_t pages = p.page_starts[sequence + 1] - p.page_starts[sequence];
  const std::int64_t keys = (pages - 1) * s.limits.page_tokens + p.last_page[sequence];
  const std::int64_t rows = p.row_starts[sequence + 1] - p.row_starts[sequence];
  const std::int64_t left = s.limits.window == 0 ? keys : std::int64_t{s.limits.window} - 1;
  const std::int64_t t = p.block_tile[block], c = p.block_chunk[block];
  const std::int64_t start = std::max<std::int64_t>(0, keys + t * tile / group - rows - left);
  Reach r{t * tile, std::min((t + 1) * tile, rows * group), start, keys, 1};
  if (!p.split) return r;
  r.first = std::min(start + c * chunk, keys), r.end = std::min(start + (c + 1) * chunk, keys);
  r.parts = (std::min(keys, left + tile) + chunk - 1) / chunk;
  return r;
}

/// The keys that a row sees, [first, end).
std::pair<std::int64_t, std::int64_t> seen(const Step& s, const PagedSequence& q, std::int64_t row) {
  const std::int64_t own = std::int64_t{q.keys} - q.rows + row;
  const std::int64_t first = s.limits.window == 0 ? 0 : std::max<std::int64_t>(0, own + 1 - s.limits.window);
  return {first, std::max(first, own + 1)};
}

/// Every part of every row is written once, at the place where the merge looks for it; together they read every key that
/// the row sees once and in order, and no block reads beyond the sequence.
class Coverage {
 public:
  Coverage(const Step& s, const PagedPlan& p)
      : s_(s),
        p_(p),
        group_(s.limits.heads.group()),
        read_(p.rows * s.limits.heads.group(), 0),
        next_(read_.size(), -1) {
    written_.resize(static_cast<std::size_t>(places() * group_), 0);
    for (std::size_t block = 0; block < p.blocks(); ++block)
      if (p.block_used[block] != 0) add(block);
  }

  /// What is wrong; nothing where it is right.
  std::string wrong() const {
    if (!wrong_.empty()) return wrong_;
    for (std::size_t i = 0; i < s_.sequences.size(); ++i) {
      for (std::int64_t row = 0; row < s_.sequences[i].rows; ++row) {
        const auto [first, end] = seen(s_, s_.sequences[i], row);
        for (std::int64_t h = 0; h < group_; ++h)
          if (read_[static_cast<std::size_t>((p_.row_starts[i] + row) * group_ + h)] != end - first)
            return "a row does not read all its keys";
      }
    }
    for (const std::uint8_t n : written_)
      if (n != 1) return "the merge reads what was not written";
    return p_.split && places() > std::int64_t{p_.parts} ? "more partial results than there is room for" : "";
  }

 private:
  std::int64_t places() const { return p_.split ? p_.part_starts.back() : p_.row_starts.back(); }
  void check(bool holds, const char* otherwise) {
    if (!holds && wrong_.empty()) wrong_ = otherwise;
  }

  void add(std::size_t block) {
    const auto sequence = static_cast<std::size_t>(p_.block_sequence[block]);
    const Reach r = reach_of(s_, p_, block);
    check(r.first_row < r.end_row, "a block without rows");
    check(r.first <= r.end && r.end <= std::int64_t{s_.sequences[sequence].keys}, "a block beyond its sequence");
    for (std::int64_t n = r.first_row; n < r.end_row; ++n) {
      const std::int64_t row = n / group_, global = p_.row_starts[sequence] + row;
      read(static_cast<std::size_t>(global * group_ + n % group_), seen(s_, s_.sequences[sequence], row), r);
      const std::int64_t at = p_.out_starts[sequence] + (p_.split ? row * r.parts + p_.block_chunk[block] : row);
      const auto parts = p_.part_starts.begin() + global;
      check(p_.split ? at >= parts[0] && at < parts[1] : at == global, "a result where its row does not look");
      check(at >= 0 && at < places(), "a result outside");
      if (wrong_.empty()) check(++written_[static_cast<std::size_t>(at * group_ + n % group_)] == 1, "written twice");
    }
  }

  void read(std::size_t row, std::pair<std::int64_t, std::int64_t> keys, const Reach& r) {
    const std::int64_t from = std::max(keys.first, r.first), to = std::min(keys.second, r.end);
    if (from >= to) return;
    check(from == (next_[row] < 0 ? keys.first : next_[row]), "keys read twice, or left out");
    next_[row] = to, read_[row] += to - from;
  }

  const Step& s_;
  const PagedPlan& p_;
  const std::int64_t group_;
  std::vector<std::int64_t> read_, next_;
  std::vector<std::uint8_t> written_;
  std::string wrong_;
};

void check_bounds(const Step& s, const PagedPlan& p) {
  const PagedHeads& h = s.limits.heads;
  REQUIRE((p.tile == 16 || p.tile == 64 || (p.tile == 128 && h.head_dim < 256)));
  REQUIRE((p.chunk > 0 && p.chunk % s.limits.page_tokens == 0));
  if (!p.split) return;
  REQUIRE(p.blocks() <= std::max(1U, 2 * s.limits.multiprocessors / h.kv_heads));
  REQUIRE(std::uint64_t{p.parts} * h.heads * (h.head_dim * 2 + 4) <= paged_workspace(h, s.limits.multiprocessors, 2));
}

TEST_CASE("plans of attention over pages read every key of every row once and write every result once") {
  std::mt19937_64 random(1);
  std::size_t split = 0, padded = 0, windowed = 0;
  for (int i = 0; i < 4000; ++i) {
    const Step s = random_step(random, i % 10 == 0 ? 20000 : 700);
    CAPTURE(i);
    const PagedPlan p = plan_paged(s.sequences, s.limits);
    check_bounds(s, p);
    REQUIRE(Coverage(s, p).wrong().empty());
    split += p.split ? 1 : 0, windowed += s.limits.window != 0 && p.split ? 1 : 0;
    padded += std::count(p.block_used.begin(), p.block_used.end(), 0) > 0 ? 1 : 0;
  }
  CHECK(split > 500);
  CHECK(windowed > 100);
  CHECK(padded > 100);
}

TEST_CASE("plans of one shape differ in the content of their arrays alone") {
  std::mt19937_64 random(2);
  for (int i = 0; i < 500; ++i) {
    Step a = random_step(random, 3000);
    a.limits.most_rows = 4, a.limits.most_keys = 4096;
    Step b = a;
    for (PagedSequence& q : a.sequences) q = {4, static_cast<std::uint32_t>(any_of(random, 1, 4096))};
    for (PagedSequence& q : b.sequences) q = {4, static_cast<std::uint32_t>(any_of(random, 1, 4096))};
    const PagedPlan p = plan_paged(a.sequences, a.limits), q = plan_paged(b.sequences, b.limits);
    const auto shape = [](const PagedPlan& x) {
      return std::tuple(x.tile, x.chunk, x.rows, x.parts, x.split, x.blocks(), x.block_used.size(), x.row_starts.size(),
                        x.page_starts.size(), x.part_starts.size(), x.out_starts.size());
    };
    REQUIRE(shape(p) == shape(q));
  }
}

TEST_CASE("a long sequence alone is split over the multiprocessors, many sequences are not") {
  const PagedHeads heads{32, 8, 128};
  const std::vector<PagedSequence> one{{1, 16384}}, many(64, {1, 512});
  const PagedPlan p = plan_paged(one, {heads, 16, 0, 132});
  CHECK(p.split);
  CHECK((p.blocks() * 8 > 132 && p.blocks() * 8 <= 264));
  CHECK_FALSE(plan_paged(many, {heads, 16, 0, 132}).split);
  CHECK(plan_paged(std::vector<PagedSequence>{{2048, 2048}}, {heads, 16, 0, 132}).tile == 128);
}

/// A step's memory: queries, pages in any order of an arena with several layers, and room for partial results.
template <class T>
class Memory {
 public:
  Memory(const Step& s, const PagedPlan& p, std::mt19937_64& random) : s_(s), p_(p), h_(s.limits.heads) {
    const std::size_t width = std::size_t{h_.kv_heads} * h_.head_dim, plane = s.limits.page_tokens * width;
    const std::size_t page = 2 * layers * plane;      // K and V of each layer
    granule_ = static_cast<std::uint32_t>(page / 2);  // a page begins at every second number
    std::int32_t most = 0;
    for (std::size_t i = 0; i < s.sequences.size(); ++i) most += p.page_starts[i + 1] - p.page_starts[i];
    for (std::int32_t i = 0; i < most; ++i) pages.push_back(2 * i);
    std::shuffle(pages.begin(), pages.end(), random);
    arena = random_elements<T>(static_cast<std::size_t>(most) * page, random);
    q = random_elements<T>(std::size_t{p.rows} * h_.heads * h_.head_dim, random);
    out.assign(q.size(), rounded<T>(std::nanf("")));
    parts.assign(std::size_t{p.parts} * h_.heads * h_.head_dim, rounded<T>(std::nanf("")));
    weights.assign(std::size_t{p.parts} * h_.heads, std::nanf(""));
    keys = arena.data() + (2 * layer) * plane, values = keys + plane;
  }

  PagedAttention call() {
    PagedAttention a{.heads = h_, .q = q.data(), .out = out.data(), .keys = keys, .values = values};
    a.q_row = h_.heads * h_.head_dim, a.q_head = h_.head_dim, a.granule = granule_;
    a.page_tokens = s_.limits.page_tokens, a.window = s_.limits.window;
    a.scale = 1.0F / std::sqrt(static_cast<float>(h_.head_dim));
    a.sequences = static_cast<std::uint32_t>(s_.sequences.size()), a.rows = p_.rows, a.blocks = p_.blocks();
    a.tile = p_.tile, a.split = p_.split, chunk_ = static_cast<std::int32_t>(p_.chunk);
    a.block_sequence = p_.block_sequence.data(), a.block_tile = p_.block_tile.data();
    a.block_chunk = p_.block_chunk.data(), a.block_used = p_.block_used.data();
    a.row_starts = p_.row_starts.data(), a.page_starts = p_.page_starts.data(), a.last_page = p_.last_page.data();
    a.pages = pages.data(), a.out_starts = p_.out_starts.data(), a.part_starts = p_.part_starts.data();
    a.chunk = &chunk_, a.parts = parts.data(), a.weights = weights.data();
    return a;
  }

  /// One row of one head, straight from its definition.
  std::vector<double> expected(std::size_t sequence, std::int64_t row, std::size_t head) const {
    const auto [first, end] = seen(s_, s_.sequences[sequence], row);
    const std::size_t d = h_.head_dim, kv_head = head / h_.group();
    const auto at = [&](const T* plane, std::int64_t key) {
      const std::int64_t tokens = s_.limits.page_tokens;
      const std::int32_t page = pages[static_cast<std::size_t>(p_.page_starts[sequence] + key / tokens)];
      return plane + static_cast<std::size_t>(page) * granule_ +
             (static_cast<std::size_t>(key % tokens) * h_.kv_heads + kv_head) * d;
    };
    const T* const query = q.data() + (static_cast<std::size_t>(p_.row_starts[sequence] + row) * h_.heads + head) * d;
    std::vector<double> mixed(d, 0.0);
    double sum = 0;
    for (std::int64_t key = first; key < end; ++key) {
      double score = 0;
      for (std::size_t i = 0; i < d; ++i) score += double{to_float(query[i])} * double{to_float(at(keys, key)[i])};
      const double share = std::exp(score / std::sqrt(static_cast<double>(d)));
      for (std::size_t i = 0; i < d; ++i) mixed[i] += share * double{to_float(at(values, key)[i])};
      sum += share;
    }
    if (sum > 0)
      for (double& x : mixed) x /= sum;
    return mixed;
  }

  std::vector<std::int32_t> pages;
  std::vector<T> arena, q, out, parts;
  std::vector<float> weights;
  const T *keys = nullptr, *values = nullptr;

 private:
  static constexpr std::size_t layers = 3, layer = 1;
  const Step& s_;
  const PagedPlan& p_;
  PagedHeads h_;
  std::uint32_t granule_ = 0;
  std::int32_t chunk_ = 0;
};

template <class T>
void check_attention(std::mt19937_64& random, double tolerance, std::size_t& split) {
  Step s = random_step(random, 400);
  s.limits.heads.head_dim = 8;
  for (PagedSequence& q : s.sequences)
    if (s.limits.most_rows == 0) q.rows = std::min(q.rows, 20U), q.keys = std::max(q.keys, q.rows);
  const PagedPlan p = plan_paged(s.sequences, s.limits);
  split += p.split ? 1 : 0;
  Memory<T> m(s, p, random);
  const PagedAttention a = m.call();
  REQUIRE(host_kernels().paged_attention(a, element_of<T>, nullptr) == 0);
  double worst = 0;
  for (std::size_t i = 0; i < s.sequences.size(); ++i) {
    for (std::int64_t row = 0; row < s.sequences[i].rows; ++row) {
      for (std::size_t head = 0; head < s.limits.heads.heads; ++head) {
        const std::vector<double> expected = m.expected(i, row, head);
        const std::size_t at = (static_cast<std::size_t>(p.row_starts[i] + row) * s.limits.heads.heads + head) * 8;
        for (std::size_t n = 0; n < 8; ++n) {
          const double off = std::abs(double{to_float(m.out[at + n])} - expected[n]);
          worst = std::isnan(off) ? 1e9 : std::max(worst, off);
        }
      }
    }
  }
  REQUIRE(worst < tolerance);
}

TEST_CASE("attention that walks a plan over pages is attention by its definition") {
  std::mt19937_64 random(3);
  std::size_t split = 0;
  for (int i = 0; i < 150; ++i) {
    CAPTURE(i);
    check_attention<float>(random, 1e-5, split);
    check_attention<Bf16>(random, 0.08, split);
    check_attention<Half>(random, 0.01, split);
  }
  CHECK(split > 100);
}

TEST_CASE("attention over pages reads beyond 2^32 bytes") {
  const Vast vast(std::size_t{9} << 30);
  const std::vector<PagedSequence> one{{1, 2}};
  const PagedLimits limits{{1, 1, 8}, 2, 0, 4};
  const PagedPlan p = plan_paged(one, limits);
  const std::int32_t page = (std::int32_t{1} << 21) + 3, chunk = static_cast<std::int32_t>(p.chunk);  // in 4 KiB
  float* const at = vast.as<float>() + std::size_t{1024} * static_cast<std::size_t>(page);
  std::vector<float> q(8, 0.0F), out(8), parts(8), weights(1);
  for (std::size_t i = 0; i < 8; ++i) at[16 + i] = 1.0F, at[24 + i] = 3.0F;  // values of both tokens
  PagedAttention a{.heads = limits.heads, .q = q.data(), .q_row = 8, .q_head = 8, .out = out.data()};
  a.keys = vast.as<float>(), a.values = vast.as<float>() + 16, a.granule = 1024, a.page_tokens = 2, a.scale = 1.0F;
  a.sequences = a.rows = 1, a.blocks = p.blocks(), a.tile = p.tile, a.split = p.split, a.chunk = &chunk;
  a.block_sequence = p.block_sequence.data(), a.block_tile = p.block_tile.data();
  a.block_chunk = p.block_chunk.data(), a.block_used = p.block_used.data();
  a.row_starts = p.row_starts.data(), a.page_starts = p.page_starts.data(), a.last_page = p.last_page.data();
  a.pages = &page, a.out_starts = p.out_starts.data(), a.part_starts = p.part_starts.data();
  a.parts = parts.data(), a.weights = weights.data();
  REQUIRE(host_kernels().paged_attention(a, Element::f32, nullptr) == 0);
  CHECK(out == std::vector<float>(8, 2.0F));
}

}  // namespace
}  // namespace frugal::cuda::testing
