// Backend: runs forward passes for models that share one KV arena. Bring your own to put another engine's kernels under
// frugal's policies. Seven functions must be written; the others have defaults that suit a synchronous backend.
//
// Life: add_model for each model, bind_arena once, then passes and page traffic in any order. Called from one thread at
// a time (whichever drives the engine), except where stated. Throws frugal::Error and nothing else. After Errc::device
// the engine fails the running requests of this backend; after any other code, only the rows of that batch.
#pragma once

#include <frugal/backend/batch.hpp>
#include <frugal/config.hpp>
#include <frugal/core/clock.hpp>
#include <frugal/core/ids.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

class Model;
namespace backend {
class Tickets;
}

inline constexpr std::size_t granule_bytes = 4096;

/// What an engine may plan with. Fixed after bind_arena.
struct BackendTraits {
  std::string device = "cpu";
  bool batch_invariant = false;   ///< a row's bits do not depend on the rows beside it, chunking, page size or threads
  float logit_tolerance = 0.0F;   ///< where not invariant: logits of the same row in two batches differ by at most this
  std::uint32_t max_rows = 4096;  ///< most rows in one pass
  bool hidden_states = false;     ///< fills Segment::hidden and obeys Batch::layers
  bool async = false;             ///< submit() returns before the pass is done, so that host work can overlap it
  bool device_draws = false;      ///< draws by the rule of sampling.hpp without bringing logits to the host
  std::uint32_t draft_rounds = 0;  ///< takes a DraftRound of so many segments; 0 = none
  bool deferral = false;           ///< judges drafts by DrawSpec::deferral
  bool wants_own_thread = false;   ///< keeps device state per thread: best driven by one thread (own_thread)
  /// Most distributions of DrawSpec::keep_distribution that are held at a time; the oldest goes for the next one. None =
  /// all of the last `ticket_memory` passes.
  std::optional<std::uint32_t> kept_distributions{};
  /// Shapes a pass is prepared for, e.g. as captured graphs: rows a segment, and segments a pass. Empty = no preference.
  std::vector<std::uint32_t> widths{}, batch_sizes{};
  std::optional<std::uint32_t> chunk{};      ///< best number of prompt rows of one sequence in a pass; none = unknown
  std::optional<std::uint32_t> step_rows{};  ///< rows beyond this many gain nothing from sharing a pass
  std::optional<std::size_t> free_bytes{};   ///< memory an arena could take when this was asked; none = unknown
  std::optional<std::size_t> workspace_bytes{};  ///< memory a pass of max_rows needs beside the arena; none = unknown
};

/// Where one model's pages lie in the arena. Page g starts at byte g * granule_bytes and holds page_tokens tokens of all
/// layers. The order inside a page is the backend's own; layout_fingerprint() names it.
struct PageGeometry {
  std::uint32_t page_tokens = 0;
  std::size_t page_bytes = 0;  ///< page_tokens * kv_bytes_per_token, rounded up to whole granules
};

struct ArenaLayout {
  std::size_t bytes = 0;                 ///< one allocation, a whole number of granules
  std::span<const PageGeometry> models;  ///< index = ModelId
};

struct PageCopy {
  ModelId model{};
  Granule from{}, to{};
  std::uint32_t tokens = 0;  ///< the first so many tokens of the page, in every layer
};

/// One whole page on its way out of the arena or into it: page_tokens * kv_bytes_per_token bytes.
struct PageRead {
  ModelId model{};
  Granule page{};
  std::span<std::byte> bytes;
};
struct PageWrite {
  ModelId model{};
  Granule page{};
  std::span<const std::byte> bytes;
};

/// Drafts of one model: `first`, then steps - 1 times one row a segment, whose token is what the segment drew last.
struct DraftRound {
  /// Every segment makes one draw, by its last row; block tables cover start + rows + steps - 1 tokens. `drawn` is [steps,
  /// segments]. The draw of step k stands at position + k; all else of its DrawSpec stays, history and mask included.
  /// No logits, hidden states, distributions or draws of earlier passes; keep_distribution may be asked for.
  Batch first;
  /// A segment that draws -1 goes on with token 0: what it draws then means nothing.
  std::uint32_t steps = 1;
};

/// What wait() knows about the work of a ticket.
struct PassReport {
  std::optional<Duration> device_time{};  ///< time the device worked on it; none = not measured: time it from outside
  bool replayed = false;                  ///< it was one recorded graph
  std::string gave_up{};  ///< where recording graphs failed and passes run without them from now on: why, told once
};

class FRUGAL_API Backend {
 public:
  Backend();
  virtual ~Backend();
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  virtual std::string_view name() const = 0;
  virtual BackendTraits traits() const = 0;

  /// Prepares the weights (may take seconds); ids are given in order from 0. Errors: unsupported, out_of_memory.
  virtual ModelId add_model(std::shared_ptr<const Model> model) = 0;
  /// Bytes of keys and values one token of this model needs over all layers, in this backend's KV element type.
  virtual std::size_t kv_bytes_per_token(ModelId model) const = 0;
  /// Allocates the arena. Called once, after the last add_model. Error: out_of_memory.
  virtual void bind_arena(const ArenaLayout& layout) = 0;

  /// Copies the head of pages; `from` and `to` never overlap in one call.
  virtual void copy_pages(std::span<const PageCopy> copies) = 0;
  /// Runs the batch: writes K/V of every row, fills batch.drawn and the logits asked for. Where it throws, pages
  /// written in this call hold anything, older ones are untouched. Tokens and draft distributions are on the host.
  virtual void forward(const Batch& batch) = 0;

  /// Starts a pass. Passes, copies and page traffic take effect in order of submission. Refusals and failures are kept
  /// for wait(). At most `ticket_memory` passes may be under way. Default: runs forward() at once, with what the batch
  /// takes from earlier tickets filled in.
  virtual Ticket submit(const Batch& batch);
  /// Starts a round of drafts in one go: nobody waits between its steps. Draw i of step k has the number k * segments + i.
  /// The tokens are those of `steps` passes one after the other. Default: unsupported (see BackendTraits::draft_rounds).
  virtual Ticket draft(const DraftRound& round);
  /// Waits for a ticket, once, in any order; throws what the work threw.
  virtual PassReport wait(Ticket ticket);

  /// Copies whole pages out of the arena, or into it. Bytes are `layout_fingerprint`'s: they fit any backend and process
  /// that gives the same number. Tokens never computed hold anything. `bytes` lives until wait(). Default: unsupported.
  virtual Ticket read_pages(std::span<const PageRead> pages);
  virtual Ticket write_pages(std::span<const PageWrite> pages);
  /// Names model, element type, page size and order of the bytes in a page; 0 = pages cannot be read or written. Valid
  /// after bind_arena.
  virtual std::uint64_t layout_fingerprint(ModelId model) const;

  /// The adapter served under this name, or none. Safe from any thread after bind_arena. Default: there are none.
  virtual std::optional<AdapterId> find_adapter(ModelId model, std::string_view name) const;
  /// False once the device has failed for good: every further pass would fail too. Safe from any thread.
  virtual bool healthy() const noexcept;

 protected:
  /// For synchronous work: runs it now and keeps what it throws for wait().
  Ticket run_now(const std::function<void()>& work);
  /// The default submit(), for a backend that keeps distributions itself: `pass` gets the tokens of earlier passes filled
  /// in, `drafted` too, and is to resolve `draft` and `keep_distribution`.
  Ticket run_keeping(const Batch& batch, const std::function<void(const Batch&, Ticket)>& pass);

 private:
  std::unique_ptr<backend::Tickets> tickets_;
};

/// Forwards every call to another backend: override one to watch or to fail it. Its passes go through forward(), one at
/// a time, so overriding forward() sees them all.
class FRUGAL_API BackendWrapper : public Backend {
 public:
  explicit BackendWrapper(std::shared_ptr<Backend> inner) : inner_(std::move(inner)) {}
  std::string_view name() const override { return inner_->name(); }
  BackendTraits traits() const override;
  ModelId add_model(std::shared_ptr<const Model> model) override { return inner_->add_model(std::move(model)); }
  std::size_t kv_bytes_per_token(ModelId model) const override { return inner_->kv_bytes_per_token(model); }
  void bind_arena(const ArenaLayout& layout) override { inner_->bind_arena(layout); }
  void copy_pages(std::span<const PageCopy> copies) override { inner_->copy_pages(copies); }
  void forward(const Batch& batch) override;
  Ticket read_pages(std::span<const PageRead> pages) override;
  Ticket write_pages(std::span<const PageWrite> pages) override;
  std::uint64_t layout_fingerprint(ModelId model) const override { return inner_->layout_fingerprint(model); }
  std::optional<AdapterId> find_adapter(ModelId model, std::string_view name) const override {
    return inner_->find_adapter(model, name);
  }
  bool healthy() const noexcept override { return inner_->healthy(); }

 protected:
  Backend& inner() { return *inner_; }

 private:
  std::shared_ptr<Backend> inner_;
};

}  // namespace frugal
