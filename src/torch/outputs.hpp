// What a pass gives back: logits of the rows that ask, and draws. Where the kernels of src/cuda are, every draw is made on
// the device and only what was asked for comes to the host: 24 bytes a draw, 8 a listed token, a row of floats for a
// distribution. Where they are not, each row of logits comes and is drawn from there.
#pragma once

#include <frugal/backend/batch.hpp>

#include <ATen/core/Tensor.h>

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "backend/drawer.hpp"
#include "torch/device.hpp"
#include "torch/lane.hpp"
#include "torch/parcel.hpp"
#include "torch/step_graphs.hpp"

namespace frugal::aten {

/// Makes logits [n, vocab] on the device, of any float type, of n rows of the residual stream.
using HeadOf = std::function<at::Tensor(const at::Tensor& rows)>;

/// Distributions that later passes may name: the last `most` rows, in memory of the device that is taken once.
class KeptDistributions {
 public:
  static constexpr std::uint32_t most = 256;

  explicit KeptDistributions(c10::Device device) : rows_(device) {}
  /// `vocab`: of the widest row.
  void reserve(std::int64_t vocab) { rows_.floats(most, width_ = vocab); }
  /// Where a draw of a pass puts its distribution, fp32 [vocab]: the same place when it is asked for again, else that of
  /// the oldest. Throws Error(invalid_argument) where a pass keeps more than `most`.
  at::Tensor place(DrawRef draw, std::int64_t vocab);
  /// Throws Error(invalid_argument) where it was not kept, or had to go.
  at::Tensor named(DrawRef draw);

 private:
  struct Slot {
    DrawRef draw{};
    std::int64_t vocab = 0;
  };
  Slot* find(DrawRef draw);
  at::Tensor row(const Slot& slot);

  Grown rows_;
  std::int64_t width_ = 0;
  std::array<Slot, most> slots_{};
  std::size_t next_ = 0;
};

/// What outputs need of the backend; all of it outlives them.
struct OutputPlace {
  const Device& device;
  const Lane& lane;
  Grown logits, work, records, distributions;  // of the device
  Returns returns;
  KeptDistributions kept;

  OutputPlace(const Device& d, const Lane& l)
      : device(d),
        lane(l),
        logits(d.device),
        work(d.device),
        records(d.device),
        distributions(d.device),
        returns(d.device),
        kept(d.device) {}

  /// Takes what draws of `rows` rows from `vocab` logits need, so that a step takes nothing.
  void reserve(std::int64_t rows, std::int64_t vocab);
  static std::size_t reserved_bytes(std::int64_t rows, std::int64_t vocab);
  static std::size_t record_bytes(std::int64_t rows);
};

/// Whose outputs they are.
struct OutputsOf {
  const Batch& batch;
  std::uint32_t vocab = 0;
  Ticket ticket{};                    // where draws may be kept
  const TokenScore* first = nullptr;  // the pass's first draw of all, where `batch` is a part of it
  const StepShape* shape = nullptr;   // null = not padded; else at least one draw, and neither logits nor hidden states
  std::size_t records = 0;            // bytes of the records that come before, of other steps of the pass
};

/// The outputs of one pass.
class Outputs {
 public:
  Outputs(const OutputsOf& of, OutputPlace& place);
  ~Outputs();

  /// Puts what draws read into the parcel, before and after its settle(); reserve() of all steps stands between.
  void plan(Parcel& parcel);
  void reserve();
  void settle(Parcel& parcel);
  /// Of what draws give.
  std::size_t record_bytes() const;
  /// After the parcel was sent: queues all work. Waits for the lane only between parts of head_rows rows. Of a padded step
  /// it queues the same work every time.
  void run(const Parcel& parcel, const at::Tensor& hidden, const HeadOf& head);
  /// After run(): what each sequence drew last, int64 [sequences], padding included; 0 where it drew nothing.
  at::Tensor drawn_tokens() const;
  /// Queues what comes to the host.
  void bring(const Parcel& parcel);
  /// In place of bring() where a pass has several steps that give draws only: `host` = all records, from the first on.
  void take(const at::Tensor& host);
  /// After the lane was waited for: fills the batch's logits and draws.
  void finish();

 private:
  class Piece;
  std::vector<std::unique_ptr<Piece>> pieces_;
  OutputPlace& place_;
  std::int64_t vocab_;
  std::int64_t rows_;  // of a sequence, where it is padded; else 1
  Ticket ticket_;
  const TokenScore* first_;
  backend::Drawer drawer_;
};

}  // namespace frugal::aten
