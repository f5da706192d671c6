// Reads events from standard input, one JSON object a line: {"api": "openai_chat", "events": ["...", ...]}; writes the usage
// and the cost that come of them, for differential_usage.py.
#include <frugal/meter/price_book.hpp>

#include <chrono>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "http/api.hpp"

int main() {
  using namespace frugal;
  const PriceBook book = PriceBook::built_in();
  for (std::string line; std::getline(std::cin, line);) {
    const nlohmann::json asked = nlohmann::json::parse(line);
    const std::string name = asked.at("api");
    const http::Api& api = name == "anthropic_messages"   ? http::anthropic_messages()
                           : name == "openai_responses"   ? http::openai_responses()
                           : name == "openai_completions" ? http::openai_completions()
                                                          : http::openai_chat();
    const std::unique_ptr<http::Reader> reader = api.reader({});
    for (const std::string event : asked.at("events")) reader->event({"", event});
    const Usage u = reader->progress().usage.value();
    const expected<Cost> cost =
        book.cost(asked.at("model").get<std::string>(), u,
                  {.at = std::chrono::sys_seconds(std::chrono::seconds(asked.at("at").get<std::int64_t>()))});
    nlohmann::json out{{"input", u.input},
                       {"cached_read", u.cached_read},
                       {"cache_write", u.cache_write},
                       {"write_1h", u.cache_write_1h},
                       {"output", u.output},
                       {"reasoning", u.reasoning}};
    out["dollars"] = cost ? nlohmann::json(cost->total()) : nlohmann::json(cost.error().message());
    std::cout << out.dump() << "\n";
  }
}
