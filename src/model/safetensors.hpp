// The safetensors container: a JSON header, then raw row-major tensors, as views into the file's bytes. As suspicious
// as the GGUF reader: all failures throw Error naming file, byte offset and reason, and memory stays proportional to
// the file.
#pragma once

#include <frugal/model/tensor.hpp>

#include <span>
#include <string>
#include <vector>

namespace frugal::model {

struct SafetensorsFile {
  /// `bytes` must outlive the tensors; `name` appears in errors.
  SafetensorsFile(std::span<const std::byte> bytes, const std::string& name);

  /// A tensor we cannot read, kept because only the loader knows whether anybody wants it.
  struct Foreign {
    std::string name, reason;
  };

  std::vector<Tensor> tensors;  ///< F32, F16 and BF16; scalars are [1, 1], vectors [1, n], more than two dimensions
                                ///< [product of the first, last]
  std::vector<Foreign> foreign;
};

}  // namespace frugal::model
