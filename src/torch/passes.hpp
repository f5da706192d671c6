// Passes: what one pass of a backend is on its device: plan -> run -> outputs on the backend's lane, one copy up, one down,
// one wait. Holds the memory that passes share, and recordings of them.
#pragma once

#include <frugal/backend/backend.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "torch/decoder.hpp"
#include "torch/outputs.hpp"
#include "torch/step_graphs.hpp"

namespace frugal::aten {

class Passes {
 public:
  using Decoders = std::vector<std::unique_ptr<Decoder>>;
  /// All of these outlive it.
  Passes(const Device& device, const Lane& lane, const Decoders& decoders);

  bool are_recorded() const { return graphs_ != nullptr; }
  void forget_recordings() {
    if (graphs_) graphs_->clear();
  }
  /// Takes what passes of models up to this vocabulary keep, so that a step takes nothing: so many bytes of the device.
  void reserve(std::int64_t vocab);
  std::size_t reserved_bytes(std::int64_t vocab) const;

  struct Of {
    const Batch& batch;
    Decoder& decoder;
    std::uint32_t page_tokens = 0;
    Ticket ticket{};                    // where draws may be kept
    const TokenScore* first = nullptr;  // the pass's first draw of all, where `batch` is a part of it
  };
  /// Adds to `report`.
  void run(const Of& of, PassReport& report);
  /// A DraftRound in one go: its steps follow each other on the device. of.batch is its first.
  void draft(const Of& of, std::uint32_t steps, PassReport& report);

 private:
  class Step;
  void run(const Of& of, std::vector<Step>& steps, PassReport& report);
  void plan(const Of& of, std::vector<Step>& steps);
  void work(const Of& of, std::vector<Step>& steps);
  void bring(std::vector<Step>& steps);
  std::uint64_t moves() const;

  const Lane& lane_;
  const Decoders& decoders_;
  DeviceTimer timer_;
  Parcel parcel_;
  OutputPlace outputs_;
  std::unique_ptr<StepGraphs> graphs_;  // null = no step is recorded
};

}  // namespace frugal::aten
