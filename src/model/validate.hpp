// What a Model promises about itself, checked once at construction. Throws Error(bad_model) that names the field or the
// tensor.
#pragma once

#include <frugal/model/model.hpp>

namespace frugal::model {

/// Every number of the spec is in range and agrees with the others.
void check_spec(const DecoderSpec& spec);

/// The tensor's shape is whole blocks and its span has exactly the bytes the shape asks for.
void check_tensor(const Tensor& tensor);

/// A tensor the forward pass reads, and its shape.
struct Wanted {
  std::string name;
  std::uint64_t rows;
  std::uint64_t cols;
};

/// All tensors the spec asks for, in file order of a typical GGUF.
std::vector<Wanted> wanted_tensors(const DecoderSpec& spec);

}  // namespace frugal::model
