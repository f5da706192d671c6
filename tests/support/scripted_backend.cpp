#include "support/scripted_backend.hpp"

#include <frugal/core/error.hpp>
#include <frugal/model/model.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

namespace frugal::testing {
namespace {

std::uint64_t mix(std::uint64_t x) {  // splitmix64's finaliser
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ x >> 27) * 0x94D049BB133111EBULL;
  return x ^ x >> 31;
}

}  // namespace

Script hashed_script(std::uint64_t salt, float scale) {
  return [=](ModelId model, std::span<const Token> tokens, std::span<float> logits) {
    std::uint64_t h = mix(salt + model.value * 0x9E3779B97F4A7C15ULL + 1);
    for (const Token t : tokens) h = mix(h ^ static_cast<std::uint32_t>(t)) + 0x9E3779B97F4A7C15ULL;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double u = static_cast<double>(mix(h + i) >> 11) * 0x1p-53;
      logits[i] = scale * static_cast<float>(2.0 * u - 1.0);
    }
  };
}

Script fixed_answer(std::size_t prompt, std::vector<Token> answer) {
  return [=, a = std::move(answer)](ModelId, std::span<const Token> tokens, std::span<float> logits) {
    std::fill(logits.begin(), logits.end(), 0.0F);
    const std::size_t at = tokens.size() < prompt ? 0 : tokens.size() - prompt;
    logits[static_cast<std::size_t>(a[std::min(at, a.size() - 1)])] = 10.0F;
  };
}

ScriptedBackend::ScriptedBackend(Script script, std::size_t kv_bytes, std::uint32_t max_rows)
    : script_(std::move(script)), kv_bytes_(std::max(kv_bytes, sizeof(Slot))), max_rows_(max_rows) {}

BackendTraits ScriptedBackend::traits() const {
  return {.device = "cpu", .batch_invariant = true, .max_rows = max_rows_};
}

ModelId ScriptedBackend::add_model(std::shared_ptr<const Model> model) {
  models_.push_back(std::move(model));
  return ModelId{static_cast<std::uint32_t>(models_.size() - 1)};
}

std::size_t ScriptedBackend::kv_bytes_per_token(ModelId) const { return kv_bytes_; }

void ScriptedBackend::bind_arena(const ArenaLayout& layout) {
  arena_ = backend::check_layout(layout, std::vector<std::size_t>(models_.size(), kv_bytes_));
  bytes_.assign(layout.bytes, std::byte{0xFF});  // token -1 at no position
}

void ScriptedBackend::copy_pages(std::span<const PageCopy> copies) {
  backend::check_copies(copies, arena_);
  for (const PageCopy& c : copies) {
    std::memcpy(&bytes_[static_cast<std::size_t>(c.to) * granule_bytes],
                &bytes_[static_cast<std::size_t>(c.from) * granule_bytes], c.tokens * kv_bytes_);
  }
  counts_.copies += copies.size();
}

std::byte* ScriptedBackend::slot(ModelId model, std::span<const Granule> pages, std::size_t position) {
  const std::size_t page_tokens = arena_.models[model.index()].page_tokens;
  const std::size_t page = static_cast<std::size_t>(pages[position / page_tokens]) * granule_bytes;
  return &bytes_[page + position % page_tokens * kv_bytes_];
}

void ScriptedBackend::write(ModelId model, const Segment& s) {
  for (std::size_t i = 0; i < s.tokens.size(); ++i) {
    const Slot value{s.tokens[i], s.start + static_cast<std::uint32_t>(i)};
    std::memcpy(slot(model, s.pages, value.position), &value, sizeof value);
  }
}

std::vector<Token> ScriptedBackend::read(ModelId model, const Segment& s, std::size_t tokens) {
  std::vector<Token> out(tokens);
  for (std::size_t i = 0; i < tokens; ++i) {
    Slot value;
    std::memcpy(&value, slot(model, s.pages, i), sizeof value);
    const bool good = value.position == i && value.token >= 0;
    out[i] = good ? value.token : -1;
    counts_.bad_reads += good ? 0 : 1;
  }
  return out;
}

void ScriptedBackend::forward(const Batch& batch) {
  if (batch.model.index() >= models_.size()) throw Error(Errc::invalid_argument, "backend: unknown model");
  const std::uint32_t vocab = models_[batch.model.index()]->spec().vocab;
  backend::check_batch(batch, arena_, models_[batch.model.index()]->spec(), max_rows_);
  ++counts_.forwards, counts_.segments += batch.segments.size(), counts_.draws += batch.drawn.size();
  for (const Segment& s : batch.segments) {
    write(batch.model, s);
    counts_.rows += s.tokens.size();
  }
  std::vector<float> logits(vocab);
  backend::emit(batch, vocab, [&](std::size_t i, std::size_t row) -> std::span<const float> {
    const Segment& s = batch.segments[i];
    script_(batch.model, read(batch.model, s, s.start + row + 1), logits);
    return logits;
  });
}

}  // namespace frugal::testing
