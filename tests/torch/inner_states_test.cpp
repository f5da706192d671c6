#include <frugal/backend/reference.hpp>
#include <frugal/torch/backend.hpp>

#include <catch2/catch_test_macros.hpp>

#include "support/inner_states.hpp"

namespace frugal::testing {
namespace {

const MakeBackend make = [] { return torch_backend({.threads = 1}); };

TEST_CASE("torch's hidden states are the reference's after every layer") {
  hidden_states_equal(
      make, [] { return reference_backend(); }, 2e-4F);
}

TEST_CASE("torch's hidden states begin with the embedding and end with the logits") {
  hidden_states_begin_and_end_where_they_should(make, 1e-4F);
}

TEST_CASE("torch's hidden states stay within the declared tolerance in any pass, and passes may end early") {
  const float tolerance = make()->traits().logit_tolerance;
  hidden_states_do_not_depend_on_the_pass(make, tolerance);
  segments_ask_for_what_they_want(make, tolerance);
}

TEST_CASE("torch refuses hidden states that a pass cannot have") { impossible_hidden_states_are_refused(make); }

TEST_CASE("torch's pages may leave the arena and come back") {
  pages_may_leave_and_come_back(make, {tiny_model()});
  wrong_page_traffic_is_refused(make);
  layouts_are_told_apart(make, [] { return torch_backend({.compute = "bf16", .threads = 1}); });
}

TEST_CASE("torch is healthy on a CPU") { CHECK(make()->healthy()); }

}  // namespace
}  // namespace frugal::testing
