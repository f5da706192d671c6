// Norm, gate, quantisation, stored heads and attention: each table of this machine against the portable twin bit by
// bit, and against the formula in double.
#include "cpu/kernels/kernels.hpp"
#include "cpu/random_numbers.hpp"
#include "cpu/tables.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace testing = frugal::testing;
using namespace frugal::cpu;
using frugal::testing::normal_values;

namespace {

double exact(float x) { return static_cast<double>(x); }

/// Keys and values of `positions` positions, one head, stored as `kind`.
struct Heads {
  std::size_t dim;
  std::size_t bytes;
  std::vector<std::uint8_t> keys, values;
  std::vector<const std::uint8_t*> key_at, value_at;

  Heads(const Kernels& k, KvKind kind, std::size_t positions, std::size_t head_dim, unsigned seed)
      : dim(head_dim), bytes(head_bytes(kind, head_dim)), keys(positions * bytes), values(positions * bytes) {
    const auto raw_keys = normal_values(positions * dim, seed), raw_values = normal_values(positions * dim, seed + 1);
    for (std::size_t p = 0; p < positions; ++p) {
      k.store_head(&raw_keys[p * dim], dim, kind, &keys[p * bytes]);
      k.store_head(&raw_values[p * dim], dim, kind, &values[p * bytes]);
      key_at.push_back(&keys[p * bytes]), value_at.push_back(&values[p * bytes]);
    }
  }
};

struct Query {
  std::vector<float> q;
  std::uint32_t begin, end;
};

/// out [queries, dims]
std::vector<float> attended(const Kernels& k, const Heads& heads, KvKind kind, const std::vector<Query>& queries) {
  const std::size_t dims = (heads.dim + 15) / 16 * 16;
  std::vector<float> q(queries.size() * dims), out(q.size()), scratch(attend_scratch(queries.size(), dims));
  std::vector<std::uint32_t> begins, ends;
  for (std::size_t i = 0; i < queries.size(); ++i) {
    std::copy(queries[i].q.begin(), queries[i].q.end(), q.begin() + static_cast<std::ptrdiff_t>(i * dims));
    begins.push_back(queries[i].begin), ends.push_back(queries[i].end);
  }
  AttendTask t;
  t.first = *std::min_element(begins.begin(), begins.end()) / key_block * key_block;
  t.last = *std::max_element(ends.begin(), ends.end());
  t.keys = heads.key_at.data() + t.first, t.values = heads.value_at.data() + t.first;
  t.kind = kind, t.head_dim = static_cast<std::uint32_t>(heads.dim), t.dims = static_cast<std::uint32_t>(dims);
  t.queries = static_cast<std::uint32_t>(queries.size());
  t.q = q.data(), t.begins = begins.data(), t.ends = ends.data(), t.out = out.data(), t.scratch = scratch.data();
  k.attend(t);
  return out;
}

}  // namespace

TEST_CASE("rms_norm is the formula, with the same bits from every table") {
  const std::size_t n = GENERATE(16U, 24U, 64U, 576U, 1000U);
  const std::size_t padded = (n + 15) / 16 * 16;
  auto x = normal_values(padded, 1, 3.0F), w = normal_values(padded, 2);
  for (std::size_t i = n; i < padded; ++i) x[i] = w[i] = 0.0F;
  double squares = 0.0;
  for (const float v : x) squares += exact(v) * exact(v);
  const double scale = 1.0 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
  std::vector<float> want(padded), got(padded);
  portable_kernels().rms_norm(x.data(), w.data(), want.data(), n, 1e-5F);
  for (std::size_t i = 0; i < n; ++i)
    REQUIRE(std::fabs(exact(want[i]) - exact(x[i]) * scale * exact(w[i])) <= 1e-6 * std::fabs(exact(want[i])));
  for (const Kernels* k : testing::tables()) {
    CAPTURE(std::string(k->name));
    k->rms_norm(x.data(), w.data(), got.data(), n, 1e-5F);
    REQUIRE(got == want);
  }
}

TEST_CASE("silu_mul is the formula from deep underflow to large values, with the same bits from every table") {
  std::vector<float> gate;
  for (float g = -120.0F; g <= 120.0F; g += 0.37F) gate.push_back(g);
  gate.resize(gate.size() / 16 * 16);
  const auto up = normal_values(gate.size(), 4);
  auto want = gate;
  portable_kernels().silu_mul(want.data(), up.data(), want.size());
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const double exact_value = exact(gate[i]) / (1.0 + std::exp(-exact(gate[i]))) * exact(up[i]);
    REQUIRE(std::fabs(exact(want[i]) - exact_value) <= 1e-6 * std::fabs(exact_value) + 1e-30);
  }
  for (const Kernels* k : testing::tables()) {
    auto got = gate;
    k->silu_mul(got.data(), up.data(), got.size());
    CAPTURE(std::string(k->name));
    REQUIRE(got == want);
  }
}

TEST_CASE("quantize keeps each value within half a step, and zeros stay zeros") {
  auto x = normal_values(96, 8);
  std::fill(x.begin() + 32, x.begin() + 64, 0.0F);
  for (const Kernels* k : testing::tables()) {
    CAPTURE(std::string(k->name));
    std::vector<std::uint8_t> panel(3 * panel_block_bytes(2));
    k->quantize(x.data(), 3, panel.data(), 1, 2);
    for (std::size_t b = 0; b < 3; ++b) {
      const std::uint8_t* at = panel.data() + b * panel_block_bytes(2);
      PanelScale s;
      std::memcpy(&s, at + 64 + sizeof s, sizeof s);
      int low = 0, high = 0;
      for (std::size_t i = 0; i < 32; ++i) {
        const auto q = static_cast<std::int8_t>(at[32 + i]);
        (i < 16 ? low : high) += q;
        REQUIRE(std::fabs(s.scale * static_cast<float>(q) - x[32 * b + i]) <= 0.501F * s.scale);
      }
      REQUIRE(s.offset_low == -128 * low);
      REQUIRE(s.offset_high == -128 * high);
      REQUIRE(s.sum == s.scale * static_cast<float>(low + high));
    }
  }
}

TEST_CASE("Stored heads have the same bytes from every table") {
  const KvKind kind = GENERATE(KvKind::fp16, KvKind::fp32, KvKind::int8);
  const std::size_t n = GENERATE(8U, 20U, 64U, 80U, 128U);
  auto x = normal_values(n, 12);
  x[0] = 1e-6F, x[1] = -70000.0F, x[2] = 6.1e-5F, x[3] = 0.0F;
  std::vector<std::uint8_t> want(head_bytes(kind, n)), got(want.size());
  portable_kernels().store_head(x.data(), n, kind, want.data());
  for (const Kernels* k : testing::tables()) {
    CAPTURE(std::string(k->name), n, static_cast<int>(kind));
    k->store_head(x.data(), n, kind, got.data());
    REQUIRE(got == want);
  }
}

TEST_CASE("A value beyond fp16 is stored as the largest one and reaches no query that does not see its position") {
  const KvKind kind = GENERATE(KvKind::fp16, KvKind::int8);
  constexpr std::size_t dim = 64, positions = 40;
  for (const Kernels* k : testing::tables()) {
    CAPTURE(std::string(k->name), static_cast<int>(kind));
    Heads heads(*k, kind, positions, dim, 6);
    const auto before = attended(*k, heads, kind, {{normal_values(dim, 1), 0, 33}});
    const std::vector<float> huge(dim, 3e38F);
    k->store_head(huge.data(), dim, kind, &heads.values[34 * head_bytes(kind, dim)]);
    REQUIRE(attended(*k, heads, kind, {{normal_values(dim, 1), 0, 33}}) == before);
    const auto both = attended(*k, heads, kind, {{normal_values(dim, 1), 0, 33}, {normal_values(dim, 2), 0, 36}});
    REQUIRE(std::equal(before.begin(), before.end(), both.begin()));
    REQUIRE(std::isfinite(both.back()));
  }
}

TEST_CASE("Attention is softmax of scores times values, for every stored kind, window and head size") {
  const KvKind kind = GENERATE(KvKind::fp16, KvKind::fp32, KvKind::int8);
  const std::size_t dim = GENERATE(8U, 24U, 64U, 128U);
  constexpr std::size_t positions = 150;
  const Heads heads(portable_kernels(), kind, positions, dim, 3);
  const Heads plain(portable_kernels(), KvKind::fp32, positions, dim, 3);
  std::vector<Query> queries;
  for (const std::uint32_t end : {1U, 17U, 32U, 33U, 100U, 150U})
    queries.push_back({normal_values(dim, 40 + end, 0.3F), end > 60 ? end - 60 : 0, end});
  const auto got = attended(portable_kernels(), heads, kind, queries);
  const std::size_t dims = (dim + 15) / 16 * 16;
  const double limit = kind == KvKind::fp32 ? 1e-5 : kind == KvKind::fp16 ? 2e-3 : 5e-2;
  const auto value = [&](const std::vector<std::uint8_t>& all, std::size_t p, std::size_t d) {
    float v;
    std::memcpy(&v, &all[(p * dim + d) * 4], 4);
    return exact(v);
  };
  for (std::size_t i = 0; i < queries.size(); ++i) {
    std::vector<double> out(dim);
    double total = 0.0;
    for (std::uint32_t p = queries[i].begin; p < queries[i].end; ++p) {
      double score = 0.0;
      for (std::size_t d = 0; d < dim; ++d) score += exact(queries[i].q[d]) * value(plain.keys, p, d);
      const double weight = std::exp(score);
      total += weight;
      for (std::size_t d = 0; d < dim; ++d) out[d] += weight * value(plain.values, p, d);
    }
    for (std::size_t d = 0; d < dim; ++d) REQUIRE(std::fabs(exact(got[i * dims + d]) - out[d] / total) <= limit);
  }
}

TEST_CASE("A query's attention has the same bits from every table, alone or beside others") {
  const KvKind kind = GENERATE(KvKind::fp16, KvKind::int8);
  constexpr std::size_t dim = 64, positions = 200;
  const Heads heads(portable_kernels(), kind, positions, dim, 5);
  std::vector<Query> queries;
  for (std::uint32_t i = 0; i < 9; ++i) queries.push_back({normal_values(dim, i), i % 3 * 20, 140 + 7 * i});
  const auto want = attended(portable_kernels(), heads, kind, queries);
  for (const Kernels* k : testing::tables()) {
    CAPTURE(std::string(k->name));
    REQUIRE(attended(*k, heads, kind, queries) == want);
    for (std::size_t i = 0; i < queries.size(); ++i) {
      const auto alone = attended(*k, heads, kind, {queries[i]});
      REQUIRE(std::memcmp(alone.data(), &want[i * dim], dim * sizeof(float)) == 0);
    }
  }
}
