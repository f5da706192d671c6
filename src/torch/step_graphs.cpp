#include "torch/step_graphs.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <exception>
#include <utility>

#include "torch/decoder.hpp"
#include "torch/guard.hpp"

namespace frugal::aten {
namespace {

constexpr std::uint32_t most_rows = 8;  // of a sequence

std::uint32_t size_of(std::size_t n) { return static_cast<std::uint32_t>(n); }

/// 1, 2, 3, 4, 6, 8, 12, 16, 24, ...: a third of a step is padding at most.
std::uint32_t rounded_sequences(std::uint32_t n) {
  const std::uint32_t whole = std::bit_ceil(n);
  return whole >= 4 && n <= whole / 4 * 3 ? whole / 4 * 3 : whole;
}

/// Of this thread; never that of one that has ended.
std::uint64_t thread_number() {
  static std::atomic<std::uint64_t> next{0};
  thread_local const std::uint64_t number = next++;
  return number;
}

bool is_plain(const Segment& s) {
  return s.tokens.size() <= most_rows && !s.draws.empty() && s.logits.empty() && s.hidden.empty();
}

}  // namespace

std::optional<StepShape> step_shape(const Batch& batch, std::uint32_t page_tokens) {
  if (batch.segments.empty() || batch.layers) return std::nullopt;
  std::uint32_t rows = 0, pages = 0, all_pages = 0;
  for (const Segment& s : batch.segments) {
    if (!is_plain(s)) return std::nullopt;
    const std::uint32_t used = (s.start + size_of(s.tokens.size()) + page_tokens - 1) / page_tokens;
    rows = std::max(rows, size_of(s.tokens.size()));
    pages = std::max(pages, used), all_pages += used;
  }
  StepShape shape{rounded_sequences(size_of(batch.segments.size())), std::bit_ceil(rows), 0};
  shape.pages = std::bit_ceil(std::max(pages, (shape.rows + page_tokens - 1) / page_tokens));
  const bool uneven = std::uint64_t{shape.sequences} * shape.pages > std::uint64_t{4} * all_pages + 16;
  return uneven || shape.all_rows() > head_rows ? std::nullopt : std::optional(shape);
}

bool StepGraphs::run(const Key& key, std::uint64_t moves, const std::function<void()>& work) {
  if (std::exchange(moves_, moves) != moves) clear();
  if (given_up_) {
    work();
    return false;
  }
  Entry& entry = entries_[key];
  entry.used = ++clock_;
  if (!entry.recording && entry.met.insert(thread_number()).second) {
    make_room();
    work();
    return false;
  }
  if (!entry.recording) record(entry, work);
  if (given_up_) {
    clear();
    work();
    return false;
  }
  entry.recording->replay();
  return true;
}

void StepGraphs::record(Entry& entry, const std::function<void()>& work) {
  try {
    entry.recording = recorder_->record(work);
  } catch (const c10::Error& e) {
    failure_ = first_line(e.what_without_backtrace());
  } catch (const std::exception& e) {
    failure_ = first_line(e.what());
  }
  given_up_ = entry.recording == nullptr;
}

void StepGraphs::make_room() {
  if (entries_.size() <= most) return;
  entries_.erase(std::min_element(entries_.begin(), entries_.end(),
                                  [](const auto& a, const auto& b) { return a.second.used < b.second.used; }));
}

}  // namespace frugal::aten
