// Backend: runs forward passes for models that share one KV arena. Bring your own to put another engine's kernels under
// frugal's policies.
//
// Life: add_model for each model, bind_arena once, then copy_pages and forward in any order. Set-up and serving are
// called from one thread at a time (whichever drives the engine). Throws frugal::Error and nothing else; after
// Errc::device the engine fails every live request of this backend, after any other code only the rows of that batch.
#pragma once

#include <frugal/backend/batch.hpp>
#include <frugal/config.hpp>
#include <frugal/core/ids.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace frugal {

class Model;

inline constexpr std::size_t granule_bytes = 4096;

struct BackendTraits {
  std::string device = "cpu";
  bool batch_invariant = false;   ///< a row's bits do not depend on the rows beside it, chunking, page size or threads
  float logit_tolerance = 0.0F;   ///< where not invariant: logits of the same row in two batches differ by at most this
  std::uint32_t max_rows = 4096;  ///< most rows in one forward
};

/// Where one model's pages lie in the arena. Page g starts at byte g * granule_bytes and holds page_tokens tokens of
/// all layers: [layer][K|V][token][kv head][head_dim] in the backend's own element type.
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

class FRUGAL_API Backend {
 public:
  virtual ~Backend();
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
  /// written in this call hold anything, older ones are untouched.
  virtual void forward(const Batch& batch) = 0;
};

/// Forwards every call to another backend: override one to watch or to fail it.
class FRUGAL_API BackendWrapper : public Backend {
 public:
  explicit BackendWrapper(std::shared_ptr<Backend> inner) : inner_(std::move(inner)) {}
  std::string_view name() const override { return inner_->name(); }
  BackendTraits traits() const override { return inner_->traits(); }
  ModelId add_model(std::shared_ptr<const Model> model) override { return inner_->add_model(std::move(model)); }
  std::size_t kv_bytes_per_token(ModelId model) const override { return inner_->kv_bytes_per_token(model); }
  void bind_arena(const ArenaLayout& layout) override { inner_->bind_arena(layout); }
  void copy_pages(std::span<const PageCopy> copies) override { inner_->copy_pages(copies); }
  void forward(const Batch& batch) override { inner_->forward(batch); }

 protected:
  Backend& inner() { return *inner_; }

 private:
  std::shared_ptr<Backend> inner_;
};

}  // namespace frugal
