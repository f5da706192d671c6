#include <frugal/core/error.hpp>
#include <frugal/cpu/backend.hpp>

#include <fstream>

#include "spec.hpp"

namespace frugal::bench {

using nlohmann::json;

double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

std::vector<json> cases_of(const SpecSettings& s) {
  std::ifstream file(s.cases);
  if (!file) throw Error(Errc::bad_file, s.cases + ": cannot be read");
  std::vector<json> out;
  for (json& c : json::parse(file).get<std::vector<json>>())
    if (s.group.empty() || c.at("group") == s.group) out.push_back(std::move(c));
  if (out.empty()) throw Error(Errc::bad_file, s.cases + ": no request of group " + s.group);
  return out;
}

Request request_of(const json& c) {
  Chat chat;
  for (const json& m : c.value("messages", json::array())) chat.messages.push_back({m.at("role"), m.at("content")});
  Request r{RawPrompt{c.value("prompt", "")}};
  if (!chat.messages.empty()) r.prompt = std::move(chat);
  r.stop = c.value("stop", std::vector<std::string>{});
  r.max_tokens = c.at("max_tokens");
  r.type = c.at("group");
  r.draft.text = c.value("draft", "");
  r.use_prefix_cache = false;
  return r;
}

std::unique_ptr<Engine> engine_of(const SpecSettings& s, const ModelPtr& model,
                                  std::shared_ptr<SpeculationPolicy> policy) {
  EngineOptions o;
  o.backend = cpu_backend({.threads = s.threads});
  o.models = {{"model", model}};
  o.speculation = std::move(policy);
  if (!s.draft_model.empty()) {
    if (o.speculation) o.draft_models = {{.target = {}, .model = load_model(s.draft_model), .name = "draft"}};
  } else if (s.self == 0) {
    o.drafters = {suffix_drafter({.least_likely = s.least_likely, .past_bytes = 0})};
  } else if (o.speculation) {
    o.draft_models = {{.target = {}, .model = first_layers(model, s.self), .name = "first layers"}};
  }
  return std::make_unique<Engine>(std::move(o));
}

}  // namespace frugal::bench
