// The RoPE and append kernel on the host against the backends' rule of pairs and angles, written out, bit for bit.
#include "cuda/rope_append.hpp"

#include <cmath>
#include <cstring>

#include "backend/rope.hpp"
#include "cuda/arrays.hpp"

namespace frugal::cuda::testing {
namespace {

struct Shape {
  DecoderSpec spec{};
  std::uint32_t rows = 1, page_tokens = 8;
  bool norms = false;
};

Shape random_shape(std::mt19937_64& random) {
  Shape s;
  s.spec.kv_heads = static_cast<std::uint32_t>(any_of(random, 1, 4));
  s.spec.heads = s.spec.kv_heads * static_cast<std::uint32_t>(any_of(random, 1, 4));
  s.spec.head_dim = 2 * static_cast<std::uint32_t>(any_of(random, 1, 40));
  s.spec.rope_dims =
      random() % 3 == 0 ? 2 * static_cast<std::uint32_t>(any_of(random, 1, s.spec.head_dim / 2)) : s.spec.head_dim;
  s.spec.rope_layout = random() % 2 == 0 ? RopeLayout::adjacent : RopeLayout::halves;
  s.spec.layers = static_cast<std::uint32_t>(any_of(random, 1, 3));
  s.rows = static_cast<std::uint32_t>(any_of(random, 1, 6));
  s.page_tokens = std::uint32_t{4} << random() % 3;
  s.norms = random() % 3 == 0;
  return s;
}

/// Everything a call needs, over an arena of the caller's.
template <class T>
struct Case {
  Case(const Shape& shape, std::mt19937_64& random, T* arena_memory, std::int64_t first_page)
      : s(shape), arena(arena_memory) {
    const DecoderSpec& d = s.spec;
    const std::size_t turned = d.heads + d.kv_heads;
    qkv = random_elements<T>(s.rows * (turned + d.kv_heads) * d.head_dim, random);
    q.resize(std::size_t{s.rows} * d.heads * d.head_dim);
    if (s.norms) gain = random_elements<float>(turned * d.head_dim, random);
    const std::vector<double> frequencies = backend::rope_frequencies(d);
    angles.resize(64 * d.rope_dims);
    for (std::uint32_t p = 0; p < 64; ++p) {
      float* const row = angles.data() + std::size_t{p} * d.rope_dims;
      backend::rope_angles(frequencies, p * 5, {row, d.rope_dims / 2}, {row + d.rope_dims / 2, d.rope_dims / 2});
    }
    const std::size_t page_elements = std::size_t{2} * d.layers * s.page_tokens * d.kv_width();
    granule = 4096 / sizeof(T);
    const std::size_t granules = (page_elements + granule - 1) / granule;
    for (std::uint32_t r = 0; r < s.rows; ++r) {
      pages.push_back(first_page + static_cast<std::int64_t>(granules * any_of(random, 0, 3)));
      slots.push_back(static_cast<std::int64_t>(r % s.page_tokens));
      positions.push_back(static_cast<std::int64_t>(any_of(random, 0, 63)));
    }
    layer = static_cast<std::uint32_t>(any_of(random, 0, d.layers - 1));
  }

  void run() {
    const DecoderSpec& d = s.spec;
    RopeAppend a{.qkv = qkv.data(), .q = q.data(), .arena = arena, .pages = pages.data(), .slots = slots.data()};
    a.positions = positions.data(), a.angles = angles.data(), a.gain = s.norms ? gain.data() : nullptr, a.eps = 1e-6F;
    a.rows = s.rows, a.heads = d.heads, a.kv_heads = d.kv_heads, a.head_dim = d.head_dim, a.rope_dims = d.rope_dims;
    a.adjacent = d.rope_layout == RopeLayout::adjacent, a.layer = layer, a.page_tokens = s.page_tokens;
    a.granule = granule;
    REQUIRE(host_kernels().rope_append(a, element_of<T>, nullptr) == 0);
  }

  float scale(const T* head) const {
    std::vector<float> lanes(32, 0.0F);
    for (std::size_t i = 0; i < s.spec.head_dim; ++i) {
      const float square = to_float(head[i]) * to_float(head[i]);
      lanes[i % 32] += square;
    }
    for (std::size_t l = 1; l < 32; ++l) lanes[0] += lanes[l];
    return 1.0F / std::sqrt(lanes[0] / static_cast<float>(s.spec.head_dim) + 1e-6F);
  }

  /// The turned head of a row.
  std::vector<T> turned(std::uint32_t r, std::uint32_t head) const {
    const DecoderSpec& d = s.spec;
    const T* const in = qkv.data() + (std::size_t{r} * (d.heads + 2 * d.kv_heads) + head) * d.head_dim;
    std::vector<float> x(d.head_dim), y;
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] = to_float(in[i]);
      if (!s.norms) continue;
      x[i] *= scale(in);
      x[i] *= gain[std::size_t{head} * d.head_dim + i];
    }
    y = x;
    const float* const cos = angles.data() + static_cast<std::size_t>(positions[r]) * d.rope_dims;
    for (std::size_t i = 0; i < d.rope_dims / 2; ++i) {
      const auto [a, b] = backend::rope_pair(d, i);
      const float c = cos[i], n = cos[d.rope_dims / 2 + i];
      const float ac = x[a] * c, bs = x[b] * n, bc = x[b] * c, as = x[a] * n;
      y[a] = ac - bs, y[b] = bc + as;
    }
    std::vector<T> out;
    for (const float v : y) out.push_back(rounded<T>(v));
    return out;
  }

  /// What the arena holds of a row: [layer][K|V][token][kv head][dim] from the page's first granule on.
  const T* stored(std::uint32_t r, bool value) const {
    const std::size_t plane = std::size_t{2} * layer + (value ? 1 : 0);
    return arena + static_cast<std::size_t>(pages[r]) * granule +
           (plane * s.page_tokens + static_cast<std::size_t>(slots[r])) * s.spec.kv_width();
  }

  void check() const {
    const DecoderSpec& d = s.spec;
    const auto same = [](const T* a, const T* b, std::size_t n) { return std::memcmp(a, b, n * sizeof(T)) == 0; };
    for (std::uint32_t r = 0; r < s.rows; ++r) {
      bool later = false;  // another row of the batch wrote the same place
      for (std::uint32_t o = r + 1; o < s.rows; ++o) later |= pages[o] == pages[r] && slots[o] == slots[r];
      for (std::uint32_t h = 0; h < d.heads; ++h)
        REQUIRE(same(q.data() + (std::size_t{r} * d.heads + h) * d.head_dim, turned(r, h).data(), d.head_dim));
      if (later) continue;
      for (std::uint32_t h = 0; h < d.kv_heads; ++h)
        REQUIRE(same(stored(r, false) + std::size_t{h} * d.head_dim, turned(r, d.heads + h).data(), d.head_dim));
      REQUIRE(same(stored(r, true),
                   qkv.data() + (std::size_t{r} * (d.heads + 2 * d.kv_heads) + d.heads + d.kv_heads) * d.head_dim,
                   d.kv_width()));
    }
  }

  Shape s;
  T* arena;
  std::vector<T> qkv, q;
  std::vector<float> gain, angles;
  std::vector<std::int64_t> pages, slots, positions;
  std::size_t granule = 0;
  std::uint32_t layer = 0;
};

template <class T>
void one_shape(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const Shape shape = random_shape(random);
  std::vector<T> arena(std::size_t{1} << 18);
  Case<T> c(shape, random, arena.data(), static_cast<std::int64_t>(any_of(random, 0, 5)));
  c.run();
  c.check();
}

TEST_CASE("queries, keys and values are turned and stored as the rule says, bit for bit over thousands of shapes") {
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    CAPTURE(seed);
    if (seed % 3 == 0) one_shape<float>(seed);
    if (seed % 3 == 1) one_shape<Bf16>(seed);
    if (seed % 3 == 2) one_shape<Half>(seed);
  }
}

TEST_CASE("keys and values are stored in pages beyond 2^32 bytes and 2^32 elements of the arena") {
  constexpr std::size_t bytes = std::size_t{20} << 30;
  const Vast arena(bytes);
  std::mt19937_64 random(5);
  for (const std::size_t at :
       {(std::size_t{4} << 30) - 4096, std::size_t{4} << 30, (std::size_t{8} << 30) + 4096, std::size_t{19} << 30}) {
    CAPTURE(at);
    Case<Bf16> c(random_shape(random), random, arena.as<Bf16>(), static_cast<std::int64_t>(at / 4096));
    c.run();
    c.check();
  }
}

}  // namespace
}  // namespace frugal::cuda::testing
