#include <frugal/core/error.hpp>
#include <frugal/head/embed.hpp>
#include <frugal/model/identity.hpp>
#include <frugal/model/model.hpp>

#include <mutex>
#include <string>
#include <utility>

#include "head/states.hpp"

namespace frugal {

namespace {

[[noreturn]] void refuse(const std::string& what) { throw Error(Errc::invalid_argument, "hidden_embedder: " + what); }

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
  out.identity = model_identity(*model) + " layers=" + std::to_string(state.layers) +
                 " pool=" + (last ? "last" : "mean") + " tokens=" + std::to_string(state.most_tokens);
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

std::function<std::vector<float>(std::string_view text)> text_embedder(const std::shared_ptr<const Model>& model,
                                                                       std::shared_ptr<Backend> backend,
                                                                       std::uint32_t layers,
                                                                       std::uint32_t most_tokens) {
  return hidden_embedder(model, std::move(backend), {.layers = layers, .most_tokens = most_tokens}).embed;
}

}  // namespace frugal
