// Backends on the pretend device, and sequences that decode on one.
#pragma once

#include <catch2/catch_test_macros.hpp>

#include "support/any_backend.hpp"
#include "support/tiny_model.hpp"
#include "torch/factory.hpp"
#include "torch/pretend_kernels.hpp"
#include "torch/pretend_recorder.hpp"

namespace frugal::testing {

inline PretendDevice& pretend() { return PretendDevice::get(); }

/// With frugal's kernels, or with LibTorch's operations alone; with recordings; with attention that reads pages in place.
inline MakeBackend on_pretend(bool kernels, bool graphs = false, bool paged = false) {
  return [kernels, graphs, paged] {
    return aten::make_backend({.device = pretend().device(),
                               .compute = c10::ScalarType::Float,
                               .name = "pretend",
                               .kernels = kernels ? &pretend_kernels() : nullptr,
                               .make_recorder = graphs ? &pretend_recorder : nullptr,
                               .paged = paged});
  };
}

/// Of a steady step: all that it reads goes up in one copy, all that it gives back comes down in one.
inline void check_steady(const PretendCounts& counts) {
  CHECK(counts.blocking_copies == 0);
  CHECK(counts.queued_copies == 2);
  CHECK(counts.waits == 1);
  CHECK(counts.grown == 0);
  CHECK(counts.pinned == 0);
  CHECK(counts.on_default_stream == 0);
}

/// One decode row for each of `sequences`, after their prompts.
struct Decoding {
  Decoding(std::unique_ptr<Backend> backend, std::size_t sequences,
           const std::shared_ptr<const Model>& model = tiny_model())
      : rig(std::move(backend), {model}) {
    for (std::size_t i = 0; i < sequences; ++i) {
      pages.push_back(rig.pages(48));
      tokens.push_back(some_tokens(1, static_cast<std::uint32_t>(i)));
      rig.run(some_tokens(9 + i, static_cast<std::uint32_t>(i)), 0, pages.back());
    }
  }
  void step(const DrawSpec& draw) {
    std::vector<Segment> segments;
    for (std::size_t i = 0; i < pages.size(); ++i)
      segments.push_back(
          {.tokens = tokens[i], .start = static_cast<std::uint32_t>(9 + i), .pages = pages[i], .draws = {&draw, 1}});
    drawn.assign(pages.size(), {});
    const Ticket t = rig.backend->submit({.model = ModelId{0}, .segments = segments, .drawn = drawn});
    report = rig.backend->wait(t);
  }
  Rig rig;
  std::vector<std::vector<Granule>> pages;
  std::vector<std::vector<Token>> tokens;
  std::vector<TokenScore> drawn;
  PassReport report;
};

}  // namespace frugal::testing
