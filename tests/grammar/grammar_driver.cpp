// grammar_driver [MODEL]: the engine beside other programs. Reads JSON lines, writes one for each.
//   {"schema": ..., "documents": [...]}  ->  {"compiled": bool, "refused": [...], "valid": [bool]} or {"error": text}
//   {"schema": ..., "text": ...} with a model  ->  {"tokens": [ids of the text], "masks": [bits before each of them and after the
//       last, as hexadecimal bytes], "taken": tokens that were allowed, "complete": bool, "ends": [ids]}
//   {"schema": ..., "seed": n, "most": n} with a model  ->  {"text": a random document} or {"text": null} where it grew too long
// With each: "compact": no white space, "in_order": members as the schema names them.
#include <frugal/core/error.hpp>
#include <frugal/grammar/grammar.hpp>
#include <frugal/model/model.hpp>
#include <frugal/text/tokenizer.hpp>

#include <nlohmann/json.hpp>

#include <iostream>
#include <random>
#include <string>

namespace {

using Json = nlohmann::ordered_json;

std::vector<frugal::Token> allowed(frugal::Constraint& constraint, std::size_t size) {
  std::vector<std::uint32_t> words((size + 31) / 32);
  constraint.mask(words);
  std::vector<frugal::Token> ids;
  for (std::size_t t = 0; t < size; ++t) {
    if (((words[t / 32] >> (t % 32)) & 1) != 0) ids.push_back(static_cast<frugal::Token>(t));
  }
  return ids;
}

frugal::grammar::JsonSchemaOptions options_of(const Json& line) {
  frugal::grammar::JsonSchemaOptions options;
  if (line.value("compact", false)) options.whitespace = frugal::grammar::Whitespace::compact;
  if (line.value("in_order", false)) options.order = frugal::grammar::Order::schema;
  return options;
}

Json judge(const Json& line) {
  std::vector<std::string> documents;
  for (const Json& document : line["documents"]) documents.push_back(document.dump());
  const auto check = frugal::grammar::check_json_schema(line["schema"].dump(), documents, options_of(line));
  Json refused = Json::array();
  for (const auto& r : check.refused) refused.push_back({{"keyword", r.keyword}, {"path", r.path}, {"why", r.why}});
  return {{"compiled", check.compiled}, {"refused", refused}, {"valid", check.valid}};
}

std::string hexadecimal(const std::vector<std::uint32_t>& words) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string out;
  for (const std::uint32_t w : words) {
    for (unsigned shift = 0; shift < 32; shift += 8) {
      out += kDigits[(w >> (shift + 4)) & 15];
      out += kDigits[(w >> shift) & 15];
    }
  }
  return out;
}

Json masks(const Json& line, const frugal::Tokenizer& tokenizer) {
  const auto constraint =
      frugal::grammar::json_schema(line["schema"].dump(), options_of(line))->open(tokenizer).value();
  const std::vector<frugal::Token> tokens =
      tokenizer.encode(line["text"].get<std::string>(), {.parse_special = false, .add_bos = false});
  std::vector<std::uint32_t> words((tokenizer.size() + 31) / 32);
  Json all = Json::array();
  std::size_t taken = 0;
  for (;; ++taken) {
    constraint->mask(words);
    all.push_back(hexadecimal(words));
    if (taken == tokens.size() || !constraint->advance(tokens[taken])) break;
  }
  const bool complete = taken == tokens.size() && constraint->state() != frugal::ConstraintState::open;
  Json ends = Json::array();
  for (std::size_t t = 0; t < tokenizer.size(); ++t)
    if (tokenizer.is_end(static_cast<frugal::Token>(t))) ends.push_back(t);
  return {{"tokens", tokens}, {"masks", all}, {"taken", taken}, {"complete", complete}, {"ends", ends}};
}

// Follows random allowed tokens; towards the end of its length it prefers those that close.
Json sample(const Json& line, const frugal::Tokenizer& tokenizer) {
  const auto constraint =
      frugal::grammar::json_schema(line["schema"].dump(), options_of(line))->open(tokenizer).value();
  std::mt19937 random(line["seed"].get<unsigned>());
  const std::size_t most = line["most"];
  std::string text;
  for (std::size_t step = 0; step < most; ++step) {
    if (constraint->state() == frugal::ConstraintState::finished) return {{"text", text}};
    if (constraint->state() == frugal::ConstraintState::complete && random() % 2 == 0) return {{"text", text}};
    const std::vector<frugal::Token> ids = allowed(*constraint, tokenizer.size());
    std::vector<frugal::Token> closing;
    for (const frugal::Token t : ids) {
      const std::string_view bytes = tokenizer.bytes(t);
      if (!tokenizer.is_end(t) && bytes.find_first_of("\"]}") != std::string_view::npos && bytes.size() <= 2)
        closing.push_back(t);
    }
    const bool close = !closing.empty() && random() % 100 < 20 + 80 * step / most;
    const std::vector<frugal::Token>& from = close ? closing : ids;
    if (from.empty()) return {{"dead_end", text}};
    const frugal::Token t = from[random() % from.size()];
    if (tokenizer.is_end(t)) return {{"text", text}};
    if (!constraint->advance(t)) return {{"rejected", text}};
    text += tokenizer.bytes(t);
  }
  return {{"text", nullptr}};
}

}  // namespace

int main(int argc, char** argv) {
  const auto model = argc > 1 ? frugal::load_model(argv[1]) : nullptr;
  std::ios::sync_with_stdio(false);
  std::string text;
  while (std::getline(std::cin, text)) {
    Json answer;
    try {
      const Json line = Json::parse(text);
      answer = line.contains("documents")
                   ? judge(line)
                   : (line.contains("text") ? masks(line, *model->tokenizer()) : sample(line, *model->tokenizer()));
    } catch (const std::exception& error) {
      answer = {{"error", error.what()}};
    }
    std::cout << answer.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n' << std::flush;
  }
}
