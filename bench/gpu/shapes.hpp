// Models of well-known shapes with random weights: what a pass costs depends on shapes and types, not on values. All
// matrices of a type are views of one buffer, so that even the largest shape takes little memory of the host; a backend
// makes its own copy of each.
#pragma once

#include <frugal/model/model.hpp>

#include <functional>
#include <memory>
#include <string_view>

namespace frugal::bench {

/// "llama-3-8b", "llama-3.2-1b", "mistral-7b", "qwen2.5-1.5b", "smollm2-135m", "olmoe-1b-7b" (64 experts, 8 a row), "tiny"
/// and "tiny-experts".
bool is_shape(std::string_view shape);

/// Null where it is no shape. `vocab` other than 0 replaces the shape's own, for a draft model beside a larger one.
std::shared_ptr<const Model> shaped_model(std::string_view shape, DType type, std::uint32_t vocab = 0);

/// The same with a type for each matrix by its name, and so many of the first layers (0 = all).
using TypeOf = std::function<DType(std::string_view name)>;
std::shared_ptr<const Model> shaped_model(std::string_view shape, const TypeOf& type_of, std::uint32_t vocab,
                                          std::uint32_t layers);

/// Bytes of weights that a pass of one row reads: all but an embedding that is not the head too, and experts that the row
/// does not pass. More rows pass more experts.
std::uint64_t bytes_read(const Model& model);
/// Bytes that its weights take on a device: packed as they are where there are `kernels` for that, else in half precision.
std::uint64_t device_bytes(const Model& model, bool kernels);
/// Bytes of keys and values of a token, in half precision.
std::uint64_t kv_token_bytes(const Model& model);
/// Multiplications and additions of one row, attention left out.
double operations_a_row(const Model& model);

}  // namespace frugal::bench
