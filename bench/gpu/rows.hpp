// What the parts of bench_gpu share: their options, how figures are told, and a backend with sequences that only have a
// length.
#pragma once

#include <frugal/core/error.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "gpu/opened.hpp"
#include "gpu/shapes.hpp"

namespace frugal::bench {

using Seconds = std::chrono::duration<double>;
inline double seconds(Duration d) { return std::chrono::duration_cast<Seconds>(d).count(); }
inline double now() { return Seconds(std::chrono::steady_clock::now().time_since_epoch()).count(); }

struct Options {
  std::string device, part, shape = "tiny", format = "bf16";
  DType type = DType::bf16;
  bool small = false;  ///< on a CPU: as few steps as show that the part runs
};

/// A figure: name, value and unit beside what it was measured on.
inline void report(const Options& o, const std::string& name, double value, const char* unit) {
  std::printf(
      "{\"part\": \"%s\", \"shape\": \"%s\", \"format\": \"%s\", \"name\": \"%s\", \"value\": %.6g, \"unit\": "
      "\"%s\"}\n",
      o.part.c_str(), o.shape.c_str(), o.format.c_str(), name.c_str(), value, unit);
  std::fflush(stdout);
}

struct With {
  bool graphs = false;
  const char* attention = "gather";
};
inline std::unique_ptr<Backend> opened(const Options& o, const With& with = {}) {
  return open_backend({.device = o.device, .graphs = with.graphs, .attention = with.attention});
}

/// Says so where layers share weights.
inline void fit(const Options& o, const Backend& backend, const std::vector<std::shared_ptr<const Model>>& models,
                std::size_t arena) {
  if (shares_layers(backend, models, arena)) report(o, "layers share their weights", 1, "");
}

/// A backend with its models bound, and sequences that only have a length.
class Rows {
 public:
  Rows(const Options& o, std::vector<std::shared_ptr<const Model>> models, std::size_t tokens, const With& with = {})
      : backend_(opened(o, with)) {
    std::size_t arena = 0;
    for (const auto& model : models) arena += tokens * kv_token_bytes(*model);
    fit(o, *backend_, models, arena);
    std::size_t granules = 0;
    for (const auto& model : models) {
      const ModelId id = backend_->add_model(model);
      const std::size_t bytes = page_tokens * backend_->kv_bytes_per_token(id);
      const std::size_t page = (bytes + granule_bytes - 1) / granule_bytes;
      geometry_.push_back({page_tokens, page * granule_bytes});
      granules += (tokens / page_tokens + 64) * page;
    }
    backend_->bind_arena({.bytes = granules * granule_bytes, .models = geometry_});
  }

  struct Sequence {
    std::vector<Granule> pages;
    std::uint32_t length = 0;
  };
  Sequence sequence(std::size_t tokens, std::size_t model = 0) {
    Sequence s;
    for (std::size_t t = 0; t < tokens; t += page_tokens) {
      s.pages.push_back(next_);
      next_ += static_cast<Granule>(geometry_[model].page_bytes / granule_bytes);
    }
    return s;
  }

  /// Runs `rows` rows of each sequence, with one draw a row; the sequences grow. Seconds on the clock.
  double step(std::vector<Sequence>& sequences, std::size_t rows, std::size_t model = 0, bool draws = true) {
    const std::vector<Token> tokens(rows, 7);
    const std::vector<DrawSpec> specs(draws ? rows : 0, DrawSpec{.sampling = &greedy_});
    std::vector<Segment> segments;
    for (Sequence& s : sequences) {
      segments.push_back({.tokens = tokens, .start = s.length, .pages = s.pages, .draws = specs});
      s.length += static_cast<std::uint32_t>(rows);
    }
    drawn_.resize(segments.size() * specs.size());
    const double before = now();
    const Ticket ticket = backend_->submit({ModelId{static_cast<std::uint32_t>(model)}, segments, drawn_});
    note(backend_->wait(ticket));
    return now() - before;
  }
  /// `drafts` draws of each sequence, the first after two rows: in one round where the backend takes those. Seconds.
  double draft(std::vector<Sequence>& sequences, std::uint32_t drafts, std::size_t model) {
    if (backend_->traits().draft_rounds == 0) {
      double spent = 0;
      for (std::uint32_t i = 0; i < drafts; ++i) spent += step(sequences, i == 0 ? 2 : 1, model);
      return spent;
    }
    const std::vector<Token> tokens(2, 7);
    const DrawSpec spec{.sampling = &greedy_};
    std::vector<Segment> segments;
    for (Sequence& s : sequences) {
      segments.push_back({.tokens = tokens, .start = s.length, .pages = s.pages, .draws = {&spec, 1}});
      s.length += drafts + 1;
    }
    drawn_.resize(segments.size() * drafts);
    const double before = now();
    const Ticket ticket = backend_->draft({{ModelId{static_cast<std::uint32_t>(model)}, segments, drawn_}, drafts});
    note(backend_->wait(ticket));
    return now() - before;
  }
  /// Of the last step, by the device's clock; 0 on a CPU.
  double device_seconds() const { return device_seconds_; }
  bool replayed() const { return replayed_; }

  /// Fills a sequence up to a length.
  void fill(Sequence& s, std::uint32_t length, std::size_t model = 0) {
    while (s.length < length) {
      std::vector<Sequence> one{s};
      step(one, std::min<std::size_t>(1024, length - s.length), model, false);
      s = one.front();
    }
  }

  std::size_t kv_bytes(std::size_t model = 0) const {
    return backend_->kv_bytes_per_token(ModelId{static_cast<std::uint32_t>(model)});
  }

 private:
  void note(const PassReport& pass) {
    device_seconds_ = seconds(pass.device_time.value_or(Duration{}));
    replayed_ = pass.replayed;
    if (!pass.gave_up.empty()) throw Error(Errc::device, pass.gave_up);
  }

  static constexpr std::uint32_t page_tokens = 16;
  std::unique_ptr<Backend> backend_;
  std::vector<PageGeometry> geometry_;
  Granule next_ = 0;
  std::vector<TokenScore> drawn_;
  double device_seconds_ = 0;
  bool replayed_ = false;
  const Sampling greedy_;
};

inline double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

}  // namespace frugal::bench
