#include <frugal/core/error.hpp>
#include <frugal/head/embed.hpp>
#include <frugal/model/model.hpp>

#include <mutex>
#include <string>
#include <utility>

#include "head/states.hpp"

namespace frugal {

std::function<std::vector<float>(std::string_view text)> text_embedder(const std::shared_ptr<const Model>& model,
                                                                       std::shared_ptr<Backend> backend,
                                                                       std::uint32_t layers,
                                                                       std::uint32_t most_tokens) {
  if (!model) throw Error(Errc::invalid_argument, "text_embedder: there is no model");
  if (layers == 0 || layers > model->spec().layers)
    throw Error(Errc::invalid_argument, "text_embedder: layer " + std::to_string(layers) + " of a model with " +
                                            std::to_string(model->spec().layers));
  struct Shared {
    explicit Shared(head::States s) : states(std::move(s)) {}
    head::States states;
    std::mutex passing{};
  };
  const head::Frame frame{.before = {}, .after = {}, .most_tokens = most_tokens};
  const auto shared = std::make_shared<Shared>(head::States(model, std::move(backend), frame, most_tokens));
  return [shared, layers](std::string_view text) -> std::vector<float> {
    const expected<std::vector<Token>> tokens = shared->states.tokens(text);
    if (!tokens) return {};
    const std::vector<Token>* const one = &*tokens;
    const std::lock_guard lock(shared->passing);
    return shared->states.pass({&one, 1}, layers, Pool::mean).front().mean;
  };
}

}  // namespace frugal
