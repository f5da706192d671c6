// What a pass gives back: logits of the rows that ask, and draws. A draw that the kernels of src/cuda can make is made on
// the device, and one record of 24 bytes comes to the host; all others bring their row of logits and are drawn there.
#pragma once

#include <frugal/backend/batch.hpp>

#include <ATen/core/Tensor.h>

#include <functional>

#include "torch/device.hpp"
#include "torch/lane.hpp"

namespace frugal::aten {

/// Makes fp32 logits [n, vocab] on the device of n rows of the residual stream.
using HeadOf = std::function<at::Tensor(const at::Tensor& rows)>;

/// Fills the batch's logits and draws from the residual stream [rows, d_model]. Waits for the device once for every
/// head_rows rows that give something back, else not at all.
void fill_outputs(const Batch& batch, std::uint32_t vocab, const at::Tensor& hidden, const HeadOf& head,
                  const Device& device, const Lane& lane);

}  // namespace frugal::aten
