// aten::_flash_attention_forward of the pretend device, as LibTorch documents it for CUDA, written out: row i of a
// sequence sees the keys up to its own place counted from the last one, at most `left` before that. Checked like there.
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/ScalarType.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <tuple>
#include <vector>

#include "torch/pretend_memory.hpp"

namespace frugal::testing {
namespace {

using Tensor = at::Tensor;
using Whole = std::optional<std::int64_t>;

/// fp32 on the host.
Tensor floats(const Tensor& t) {
  return at::from_blob(const_cast<void*>(t.const_data_ptr()), t.sizes(), t.strides(), t.options().device(at::kCPU))
      .to(at::kFloat)
      .contiguous();
}
const std::int32_t* whole_numbers(const Tensor& t, std::int64_t count) {
  TORCH_CHECK(t.scalar_type() == at::kInt && t.is_contiguous() && t.numel() == count, "lengths are int32 [sequences]");
  return static_cast<const std::int32_t*>(t.const_data_ptr());
}

struct Heads {
  const float *q, *k, *v;
  float* out;
  std::int64_t heads, kv_heads, d;
  double scale;
};

/// One row of one head over keys [first, last].
void attend(const Heads& h, std::int64_t row, std::int64_t head, std::int64_t first, std::int64_t last) {
  const std::int64_t kv_head = head / (h.heads / h.kv_heads);
  const float* const q = h.q + (row * h.heads + head) * h.d;
  std::vector<double> p;
  for (std::int64_t key = first; key <= last; ++key) {
    double s = 0;
    for (std::int64_t i = 0; i < h.d; ++i)
      s += static_cast<double>(q[i]) * static_cast<double>(h.k[(key * h.kv_heads + kv_head) * h.d + i]);
    p.push_back(s * h.scale);
  }
  double sum = 0;
  const double most = p.empty() ? 0 : *std::max_element(p.begin(), p.end());
  for (double& x : p) sum += x = std::exp(x - most);
  for (std::int64_t i = 0; i < h.d; ++i) {
    double mixed = 0;
    for (std::int64_t key = first; key <= last; ++key)
      mixed +=
          p[static_cast<std::size_t>(key - first)] * static_cast<double>(h.v[(key * h.kv_heads + kv_head) * h.d + i]);
    h.out[(row * h.heads + head) * h.d + i] = static_cast<float>(mixed / sum);
  }
}

/// A call's arguments on the device.
struct Given {
  Tensor query, key, value, row_starts, key_starts, key_counts, result;
  std::int64_t most_rows, most_keys;
  double scale;
  Whole left;
};

void attend_all(const Given& g) {
  const std::int64_t sequences = g.row_starts.numel() - 1;
  const std::int32_t* const rows_at = whole_numbers(g.row_starts, sequences + 1);
  const std::int32_t* const keys_at = whole_numbers(g.key_starts, sequences + 1);
  const std::int32_t* const used = whole_numbers(g.key_counts, sequences);
  const Tensor q = floats(g.query), k = floats(g.key), v = floats(g.value), out = at::empty_like(q);
  const Heads h{q.data_ptr<float>(), k.data_ptr<float>(), v.data_ptr<float>(), out.data_ptr<float>(),
                q.size(1),           k.size(1),           q.size(2),           g.scale};
  TORCH_CHECK(rows_at[sequences] == q.size(0) && keys_at[sequences] <= k.size(0), "lengths end where rows and keys do");
  for (std::int64_t s = 0; s < sequences; ++s) {
    const std::int64_t rows = rows_at[s + 1] - rows_at[s];
    TORCH_CHECK(rows <= g.most_rows && used[s] <= g.most_keys && used[s] <= keys_at[s + 1] - keys_at[s], "most");
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t own = used[s] - rows + i,
                         first = g.left && *g.left >= 0 ? std::max<std::int64_t>(0, own - *g.left) : 0;
      for (std::int64_t head = 0; head < h.heads; ++head)
        attend(h, rows_at[s] + i, head, keys_at[s] + first, keys_at[s] + own);
    }
  }
  Tensor(g.result).copy_(out);
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> flash(const Tensor& query, const Tensor& key, const Tensor& value,
                                                         const std::optional<Tensor>& row_starts,
                                                         const std::optional<Tensor>& key_starts,
                                                         std::int64_t most_rows, std::int64_t most_keys, double dropout,
                                                         bool causal, bool, std::optional<double> scale, Whole left,
                                                         Whole, const std::optional<Tensor>& key_counts,
                                                         const std::optional<Tensor>&) {
  TORCH_CHECK(query.dim() == 3 && key.dim() == 3 && query.stride(2) == 1 && key.stride(2) == 1 && value.stride(2) == 1,
              "q, k and v are [rows, heads, d], their last dimension contiguous");
  TORCH_CHECK(query.size(2) % 8 == 0 && query.size(1) % key.size(1) == 0 && causal && dropout == 0.0 && scale,
              "shapes");
  const Tensor result = at::empty(query.sizes(), query.options());
  const auto held = [](const Tensor& t) {  // the address alone
    return at::from_blob(const_cast<void*>(t.const_data_ptr()), t.sizes(), t.strides(), t.options().device(at::kCPU));
  };
  const Given given{held(query),
                    held(key),
                    held(value),
                    held(*row_starts),
                    held(*key_starts),
                    held(*key_counts),
                    held(result),
                    most_rows,
                    most_keys,
                    *scale,
                    left};
  if (pretend::Notes::get().open()) {
    pretend::Notes::get().add([given] { attend_all(given); });
    return {result, {}, {}, {}, {}};
  }
  ++pretend::Copies::get().counts.operations;
  const PretendDevice::Unlocked unlocked;
  attend_all(given);
  return {result, {}, {}, {}, {}};
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) { m.impl("_flash_attention_forward", &flash); }

}  // namespace
}  // namespace frugal::testing
