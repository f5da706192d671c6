// StepGraphs: decode and verify steps that are recorded once and started again with one call. A step is padded to one of
// few shapes, so that few recordings serve all of them: what differs from step to step is in memory that the step reads.
#pragma once

#include <frugal/backend/batch.hpp>

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "torch/recorder.hpp"

namespace frugal::aten {

/// Rows of a sequence stand at the end of its `rows`; what is before them, and sequences that are not there, are padding.
struct StepShape {
  std::uint32_t sequences = 0;
  std::uint32_t rows = 0;   ///< a sequence: 1, 2, 4 or 8
  std::uint32_t pages = 0;  ///< a sequence, a power of two
  std::uint32_t all_rows() const { return sequences * rows; }
  auto operator<=>(const StepShape&) const = default;
};

/// The shape for a batch of draws, or none: prefill, logits or hidden states asked for, more rows than are made at a
/// time, or sequences of so different a length that padding would make the step much larger.
std::optional<StepShape> step_shape(const Batch& batch, std::uint32_t page_tokens);

class StepGraphs {
 public:
  static constexpr std::size_t most = 32;  ///< recordings; the one that was not used for longest goes first

  explicit StepGraphs(std::unique_ptr<Recorder> recorder) : recorder_(std::move(recorder)) {}

  struct Key {
    ModelId model{};
    StepShape shape{};
    std::uint32_t steps = 1;  ///< those after the first have one row a sequence
    auto operator<=>(const Key&) const = default;
  };
  /// Does `work`: as it is the first time, recorded the second, replayed from then on. A thread records only what it has
  /// run as it is: LibTorch makes handles and workspaces at a thread's first use, which no recording allows. `moves` is another number when
  /// memory that it reads or writes lies elsewhere than before; all recordings are then dropped. True: it was replayed.
  /// Where recording fails, all steps run as they are from then on, and failure() tells why.
  bool run(const Key& key, std::uint64_t moves, const std::function<void()>& work);
  void clear() { entries_.clear(); }
  /// Why recording was given up; told once.
  std::string failure() { return std::exchange(failure_, {}); }
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::set<std::uint64_t> met{};  ///< threads that ran it as it is
    std::uint64_t used = 0;
    std::unique_ptr<Recording> recording{};
  };
  void record(Entry& entry, const std::function<void()>& work);
  void make_room();

  std::unique_ptr<Recorder> recorder_;
  std::map<Key, Entry> entries_;
  std::uint64_t moves_ = 0, clock_ = 0;
  bool given_up_ = false;
  std::string failure_;
};

}  // namespace frugal::aten
