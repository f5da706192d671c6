// price_driver: reads lines of JSON {"model", "usage": {...}, "at": unix seconds, "tier", "batch", "cache_write_1h"}
// and answers each with {"input", "output", "total"} in dollars, or {"error"}. For differential_prices.py.
#include <frugal/meter/price_book.hpp>

#include <iostream>
#include <string>

#include <nlohmann/json.hpp>

using namespace frugal;
using Json = nlohmann::json;

namespace {

Json answer(const Json& ask) {
  const Json& u = ask.at("usage");
  const Usage usage{.input = u.at("input"),
                    .cached_read = u.at("cached_read"),
                    .cache_write = u.at("cache_write"),
                    .output = u.at("output"),
                    .reasoning = u.at("reasoning"),
                    .cache_write_1h = ask.at("cache_write_1h")};
  const std::string tier = ask.at("tier");
  const PriceQuery query{.at = std::chrono::sys_seconds(std::chrono::seconds(ask.at("at").get<std::int64_t>())),
                         .service_tier = tier,
                         .batch = ask.at("batch")};
  const expected<Cost> cost = PriceBook::built_in().cost(ask.at("model").get<std::string>(), usage, query);
  if (!cost) return {{"error", cost.error().message()}};
  return {{"input", cost->input + cost->cached_read + cost->cache_write},
          {"output", cost->output + cost->reasoning},
          {"total", cost->total()}};
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) std::cout << answer(Json::parse(line)).dump() << '\n';
}
