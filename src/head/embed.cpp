#include <frugal/core/error.hpp>
#include <frugal/head/embed.hpp>
#include <frugal/model/identity.hpp>
#include <frugal/model/model.hpp>

#include <charconv>
#include <mutex>
#include <string>
#include <utility>

#include "head/states.hpp"

namespace frugal {

namespace {

[[noreturn]] void refuse(const std::string& what) { throw Error(Errc::invalid_argument, "hidden_embedder: " + what); }

std::string identity_of(const Model& model, const HiddenState& state) {
  return model_identity(model) + " layers=" + std::to_string(state.layers) +
         " pool=" + (state.pool == Pool::last ? "last" : "mean") + " tokens=" + std::to_string(state.most_tokens);
}

struct Shared {
  explicit Shared(head::States s) : states(std::move(s)) {}
  head::States states;
  std::mutex passing{};
};

}  // namespace

Embedder hidden_embedder(const std::shared_ptr<const Model>& model, std::shared_ptr<Backend> backend,
                         const HiddenState& state) {
  if (!model) refuse("there is no model");
  if (state.layers == 0 || state.layers > model->spec().layers)
    refuse("layer " + std::to_string(state.layers) + " of a model with " + std::to_string(model->spec().layers));
  if (state.pool == Pool::both) refuse("the pool must be mean or last");
  const head::Frame frame{.before = {}, .after = {}, .most_tokens = state.most_tokens};
  const auto shared = std::make_shared<Shared>(head::States(model, std::move(backend), frame, state.most_tokens));
  const bool last = state.pool == Pool::last;
  Embedder out;
  out.identity = identity_of(*model, state);
  out.embed = [shared, layers = state.layers, last](std::string_view text) -> std::vector<float> {
    const expected<std::vector<Token>> tokens = shared->states.tokens(text);
    if (!tokens) return {};
    const std::vector<Token>* const one = &*tokens;
    const std::lock_guard lock(shared->passing);
    head::Pooled pooled = std::move(shared->states.pass({&one, 1}, layers, last ? Pool::last : Pool::mean).front());
    return std::move(last ? pooled.last : pooled.mean);
  };
  return out;
}

std::optional<HiddenState> hidden_state_of(std::string_view identity, const Model& model) {
  const auto number_after = [&](std::string_view name) {
    std::uint32_t number = 0;
    const std::size_t at = identity.rfind(name);
    if (at != identity.npos)
      std::from_chars(identity.data() + at + name.size(), identity.data() + identity.size(), number);
    return number;
  };
  HiddenState state{.layers = number_after(" layers="), .most_tokens = number_after(" tokens=")};
  if (identity.rfind(" pool=last") != identity.npos) state.pool = Pool::last;
  if (identity_of(model, state) != identity) return std::nullopt;
  return state;
}

std::function<std::vector<float>(std::string_view text)> text_embedder(const std::shared_ptr<const Model>& model,
                                                                       std::shared_ptr<Backend> backend,
                                                                       std::uint32_t layers,
                                                                       std::uint32_t most_tokens) {
  return hidden_embedder(model, std::move(backend), {.layers = layers, .most_tokens = most_tokens}).embed;
}

}  // namespace frugal
