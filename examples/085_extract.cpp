// 085: an email into a struct. The schema comes from the struct, the answer cannot be anything but a JSON object that
// meets it, and what the schema forces costs no pass.
//   example_085_extract MODEL.gguf
#include "pick_backend.hpp"

#include <frugal/frugal.hpp>
#include <frugal/grammar/grammar.hpp>
#include <frugal/grammar/object_schema.hpp>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

struct Order {
  std::string customer, product, city, date;
  int quantity = 0;
};

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: %s MODEL\n", argv[0]), 2;
  try {
    // [schema]
    namespace grammar = frugal::grammar;
    const std::string schema = grammar::ObjectSchema<Order>()
                                   .field("customer", &Order::customer, R"({"minLength":1,"maxLength":40})")
                                   .field("product", &Order::product, R"({"minLength":1,"maxLength":40})")
                                   .field("quantity", &Order::quantity, R"({"minimum":1,"maximum":9999})")
                                   .field("city", &Order::city, R"({"minLength":1,"maxLength":30})")
                                   .field("date", &Order::date, R"({"format":"date"})")
                                   .text();
    const auto constraint = grammar::json_schema(schema, {.whitespace = grammar::Whitespace::compact});
    // [/schema]
    frugal::EngineOptions options;
    options.backend = pick_backend();
    options.models = {{.name = "smollm2", .model = frugal::load_model(argv[1])}};
    frugal::Engine engine(std::move(options));
    for (const char* email :
         {"Hello, this is Anna Keller. Please send 12 garden hoses to Porto. Delivery on 2026-03-09 would be fine.",
          "Tom Baker here, we need 40 ceramic mugs in Bergen. The date is 2026-11-21."}) {
      const std::string ask = "Read the order. Answer with customer, product, quantity, city and date as JSON.\n\n";
      frugal::Request request{.prompt = frugal::Chat{.messages = {{"user", ask + email}}}, .max_tokens = 120};
      request.constraint = constraint;
      const frugal::Answer answer = engine.run(std::move(request));
      if (answer.finish.error) throw *answer.finish.error;
      if (answer.finish.reason != frugal::FinishReason::stop) return std::puts("the answer was cut"), 1;
      const auto json = nlohmann::json::parse(answer.text);  // any JSON library will do
      const Order order{json.at("customer"), json.at("product"), json.at("city"), json.at("date"), json.at("quantity")};
      const frugal::TokenLedger tokens = answer.finish.ledger.total();
      std::printf("%d of %s for %s, to %s on %s (%llu tokens, %llu forced, %llu passes)\n", order.quantity,
                  order.product.c_str(), order.customer.c_str(), order.city.c_str(), order.date.c_str(),
                  static_cast<unsigned long long>(answer.finish.usage.output),
                  static_cast<unsigned long long>(tokens.forced), static_cast<unsigned long long>(tokens.passes));
    }
  } catch (const frugal::Error& error) {
    return std::fprintf(stderr, "%s\n", error.what()), 1;
  }
}
