// answers_driver MODEL: answers under JSON schemas, sampled on a real model. Reads JSON lines {"schema",
// "prompt", "seed", "most", "compact", "close"}, answers all at once, and writes a line {"text", "finish", "forced",
// "complete", "closing"} or {"error"} for each, in order.
#include <frugal/core/error.hpp>
#include <frugal/cpu/backend.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/grammar/grammar.hpp>
#include <frugal/model/model.hpp>

#include <nlohmann/json.hpp>

#include <iostream>
#include <string>
#include <variant>
#include <vector>

using namespace frugal;
using Json = nlohmann::ordered_json;

namespace {

Request request_of(const Json& line) {
  Request r{Chat{{{"user", line.at("prompt")}}}};
  r.max_tokens = line.at("most");
  r.close_when_short = line.at("close");
  r.sampling.temperature = 1.0F;
  r.sampling.seed = line.at("seed").get<std::uint64_t>();
  const auto space = line.at("compact").get<bool>() ? grammar::Whitespace::compact : grammar::Whitespace::flexible;
  r.constraint = grammar::json_schema(line.at("schema").dump(), {.whitespace = space});
  return r;
}

Json json_of(const Answer& a) {
  if (a.finish.error) return {{"error", a.finish.error->message()}};
  return {{"text", a.text},
          {"finish", to_string(a.finish.reason)},
          {"forced", a.finish.ledger.total().forced},
          {"complete", a.finish.document->complete},
          {"closing", a.finish.document->closing_tokens}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  EngineOptions options;
  options.backend = cpu_backend({});
  options.models = {{"model", load_model(argv[1])}};
  options.prefix_cache = lru();
  options.max_running = 8;
  options.max_waiting = 1'000'000;
  Engine engine(std::move(options));
  std::vector<std::variant<Stream, Json>> asked;
  std::string text;
  while (std::getline(std::cin, text)) {
    try {
      asked.emplace_back(engine.submit(request_of(Json::parse(text))));
    } catch (const std::exception& error) {
      asked.emplace_back(Json{{"error", error.what()}});
    }
  }
  for (auto& one : asked) {
    const Json answer = one.index() == 0 ? json_of(std::get<Stream>(one).wait()) : std::get<Json>(one);
    std::cout << answer.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
  }
}
