#include <frugal/backend/reference.hpp>
#include <frugal/cpu/backend.hpp>

#include <catch2/catch_test_macros.hpp>

#include "cpu/factory.hpp"
#include "cpu/weights.hpp"
#include "support/inner_states.hpp"

namespace frugal::testing {
namespace {

const MakeBackend make = [] { return cpu_backend({.threads = 2}); };
const MakeBackend precise = [] { return cpu_backend({.threads = 2, .kv = KvType::fp32, .fine = true}); };
const MakeBackend reference = [] { return reference_backend(); };

TEST_CASE("the CPU backend's hidden states are the reference's after every layer, on every switch") {
  hidden_states_equal(precise, reference, 1e-3F, DType::q8_0);
}

TEST_CASE("the CPU backend's hidden states begin with the embedding and end with the logits") {
  hidden_states_begin_and_end_where_they_should(precise, 0.02F);
}

TEST_CASE("the CPU backend's hidden states have the same bits in any pass, and passes may end early") {
  for (const unsigned threads : {1U, 3U}) {
    const MakeBackend with = [=] { return cpu_backend({.threads = threads}); };
    hidden_states_do_not_depend_on_the_pass(with, 0.0F);
    segments_ask_for_what_they_want(with, 0.0F);
  }
}

TEST_CASE("hidden states of more rows than a step holds come out whole") {
  const auto model = tiny_model({.layers = 3, .context = 1024});
  const auto tokens = some_tokens(600);
  Rig rig(make(), {model}, 16, 4096);
  for (const std::uint32_t layer : {0U, 1U, 3U}) {
    const Rows want = hidden_states(rig, tokens, {layer});
    CHECK(distance(tail(want, 300), hidden_states(rig, tokens, 0, rig.pages(600), {layer, false, layer}, 300)) == 0.0F);
  }
}

TEST_CASE("all kernel tables give the same hidden states") {
  const auto model = tiny_model({.layers = 3});
  const auto tokens = some_tokens(45);
  const auto states = [&](const cpu::Kernels& kernels) {
    Rig rig(cpu::backend_with({.threads = 2}, kernels), {model});
    return hidden_states(rig, tokens, {3, true});
  };
  const Rows want = states(cpu::portable_kernels());
  for (const cpu::Kernels* k : cpu::available_kernels()) CHECK(distance(states(*k), want) == 0.0F);
}

TEST_CASE("the CPU backend refuses hidden states that a pass cannot have") {
  impossible_hidden_states_are_refused(make);
}

TEST_CASE("the CPU backend's pages may leave the arena and come back, in every element type") {
  for (const KvType kv : {KvType::fp16, KvType::fp32, KvType::int8})
    pages_may_leave_and_come_back([=] { return cpu_backend({.threads = 2, .kv = kv}); }, {tiny_model()});
  wrong_page_traffic_is_refused(make);
}

TEST_CASE("the CPU backend's layouts differ by element type, page size, model and fineness") {
  layouts_are_told_apart(make, [] { return cpu_backend({.threads = 2, .kv = KvType::int8}); });
  layouts_are_told_apart(make, [] { return cpu_backend({.threads = 2, .fine = true}); });
  layouts_are_told_apart(make, reference);
  CHECK(Rig(make(), {tiny_model()}).backend->layout_fingerprint(ModelId{0}) ==
        Rig(cpu_backend({.threads = 1}), {tiny_model()}).backend->layout_fingerprint(ModelId{0}));
}

TEST_CASE("backends of one process share the packed weights of a model, and the last one takes them away") {
  cpu::Crew crew(1);
  const auto model = tiny_model(), other = tiny_model();
  std::weak_ptr<const cpu::DecoderWeights> seen;
  {
    const auto a = cpu::shared_weights(model, crew, FloatWeights::kept);
    seen = a;
    CHECK(cpu::shared_weights(model, crew, FloatWeights::kept) == a);
    CHECK(cpu::shared_weights(model, crew, FloatWeights::repacked) != a);
    CHECK(cpu::shared_weights(other, crew, FloatWeights::kept) != a);
    const auto first = make(), second = make();
    const long before = a.use_count();
    first->add_model(model);
    second->add_model(model);
    CHECK(a.use_count() == before + 2);
  }
  CHECK(seen.expired());
  CHECK(model.use_count() == 1);
}

TEST_CASE("the CPU backend says what a plan may count on") {
  Rig rig(make(), {tiny_model()});
  const BackendTraits traits = rig.backend->traits();
  CHECK(traits.batch_invariant);
  CHECK(traits.hidden_states);
  CHECK_FALSE(traits.async);
  REQUIRE(traits.free_bytes.has_value());
  CHECK((*traits.free_bytes > std::size_t{1} << 20 && *traits.free_bytes < std::size_t{1} << 44));
  REQUIRE(traits.workspace_bytes.has_value());
  CHECK(*traits.workspace_bytes > 0);
}

}  // namespace
}  // namespace frugal::testing
