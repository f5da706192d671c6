// Attention that reads pages in place, on the pretend device: the plan, its way in the parcel, and the call are the
// backend's own; the kernels are the host's twin.
#include <frugal/backend/reference.hpp>
#include <frugal/core/error.hpp>
#include <frugal/torch/backend.hpp>

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <string>

#include "support/switches.hpp"
#include "torch/engine_cases.hpp"
#include "torch/pretend_rig.hpp"

namespace frugal::testing {
namespace {

const MakeBackend paged = on_pretend(true, false, true);

std::string refusal(const TorchOptions& options, Errc code) {
  try {
    torch_backend(options);
  } catch (const Error& e) {
    CHECK(e.code() == code);
    return e.message();
  }
  return "";
}

TEST_CASE(
    "attention over pages gives the reference's logits under every switch that it serves, and refuses the others") {
  for (const auto& [name, options] : switches()) {
    INFO(name);
    const auto model = tiny_model(options);
    if (model->spec().attention_softcap != 0.0F) {
      const auto backend = paged();
      CHECK_THROWS_AS(backend->add_model(model), Error);
      continue;
    }
    for (const std::size_t length : {45U, 400U}) {  // the longer one is split over its keys where few rows are left
      const auto tokens = some_tokens(length);
      Rig device(paged(), {model}, 8), reference(reference_backend(), {model}, 16);
      const Rows expected = reference.run(tokens);
      CHECK(distance(device.run(tokens), expected) <= 2e-4F * std::max(1.0F, largest(expected)));
    }
  }
}

TEST_CASE("a row behind many keys is split over them, with and without a window, and gives the reference's logits") {
  for (const std::uint32_t window : {0U, 7U, 200U, 333U}) {
    INFO("window " << window);
    const auto model = tiny_model({.sliding_window = window});
    const auto tokens = some_tokens(460);
    const auto behind = [&](std::unique_ptr<Backend> backend, std::uint32_t page_tokens) {
      Rig rig(std::move(backend), {model}, page_tokens);
      const auto pages = rig.pages(480);
      rig.run(std::span(tokens).first(450), 0, pages);
      Rows out = rig.run(std::span(tokens).subspan(450, 1), 450, pages);
      for (auto& row : rig.run(std::span(tokens).subspan(451, 5), 451, pages)) out.push_back(row);
      return out;
    };
    const Rows expected = behind(reference_backend(), 16);
    CHECK(distance(behind(paged(), 8), expected) <= 2e-4F * std::max(1.0F, largest(expected)));
  }
}

TEST_CASE("attention over pages keeps what every backend must keep") {
  const float tolerance = paged()->traits().logit_tolerance;
  TinyModelOptions other;
  other.layers = 3, other.d_model = 96, other.heads = 6, other.kv_heads = 2, other.seed = 5;
  const auto model = tiny_model();
  prefill_may_be_chunked(paged, {model}, tolerance);
  prefill_may_be_chunked(paged, {tiny_model({.sliding_window = 20})}, tolerance);
  a_batch_equals_its_rows_alone(paged, {model}, tolerance);
  a_batch_equals_its_rows_alone(paged, {tiny_model({.sliding_window = 5})}, tolerance);
  pages_may_be_shared_and_copied(paged, {model}, tolerance);
  two_models_share_one_arena(paged, {model, tiny_model(other)}, tolerance);
  draws_are_of_the_last_rows(paged, {model}, tolerance);
}

TEST_CASE("a steady step with attention over pages is one copy up, one down and one wait, and takes no memory") {
  Decoding decoding(paged(), 5);
  const Sampling hot{.temperature = 0.8F};
  const DrawSpec draw{.sampling = &hot, .seed = 3, .position = 20};
  decoding.step(draw);
  pretend().reset_counts();
  decoding.step(draw);
  check_steady(pretend().counts());
}

TEST_CASE("attention over pages is refused by name where it is not there") {
  CHECK(refusal({.attention = "paged"}, Errc::invalid_argument).find("'paged' (gather, flashinfer)") !=
        std::string::npos);
  CHECK(refusal({.attention = "flashinfer"}, Errc::unavailable).find("device cuda") != std::string::npos);
  if (cuda::device_kernels() == nullptr)
    CHECK(refusal({.device = "cuda", .attention = "flashinfer"}, Errc::unavailable).find("FRUGAL_FLASHINFER") !=
          std::string::npos);
}

}  // namespace
}  // namespace frugal::testing
