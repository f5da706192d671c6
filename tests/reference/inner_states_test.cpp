#include <frugal/backend/reference.hpp>

#include <catch2/catch_test_macros.hpp>

#include "support/inner_states.hpp"

namespace frugal::testing {
namespace {

const MakeBackend make = [] { return reference_backend(); };

TEST_CASE("the reference's hidden states begin with the embedding and end with the logits") {
  hidden_states_begin_and_end_where_they_should(make, 1e-5F);
  hidden_states_begin_and_end_where_they_should(make, 1e-5F, {.layers = 1, .tied_head = false});
}

TEST_CASE("the reference's hidden states have the same bits in any pass, and passes may end early") {
  hidden_states_do_not_depend_on_the_pass(make, 0.0F);
  segments_ask_for_what_they_want(make, 0.0F);
}

TEST_CASE("the reference refuses hidden states that a pass cannot have") { impossible_hidden_states_are_refused(make); }

TEST_CASE("the reference's pages may leave the arena and come back") {
  pages_may_leave_and_come_back(make, {tiny_model()});
  wrong_page_traffic_is_refused(make);
}

}  // namespace
}  // namespace frugal::testing
