#include "tools/batch_input.hpp"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

#include "core/json_tree.hpp"
#include "model/hash.hpp"
#include "tools/openai_answer.hpp"
#include "tools/raw_json.hpp"

namespace frugal::tools {

using nlohmann::json;

namespace {

std::string digits_of(std::uint64_t hash) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

/// Reads one line at a time; knows the custom_ids of those before.
class Reader {
 public:
  Reader(const std::string& origin, const OpenAiDefaults& defaults) : origin_(origin), defaults_(defaults) {}

  BatchLine read(std::size_t number, std::string_view text) {
    BatchLine line;
    line.number = number;
    line.id = digits_of(model::Hash().add(text).value());
    where_ = origin_ + ": line " + std::to_string(number);
    try {
      read_envelope(text, line);
    } catch (const FieldError& e) {
      line.fault = BatchFault{0, Error(e.code(), where_ + ": " + e.message()), e.param()};
    } catch (const Error& e) {
      line.fault = BatchFault{0, e, {}};
    }
    // Lines that are no requests may be equal to each other or to a good one.
    if (line.malformed()) line.id = digits_of(model::Hash().add(std::uint64_t{number}).add(text).value());
    if (!line.fault) read_body(raw_member(text, "body"), line);
    return line;
  }

 private:
  void read_envelope(std::string_view text, BatchLine& line) {
    const json tree = parse_json_tree(text, where_, {.repeated = RepeatedKeys::refused});
    if (!tree.is_object()) throw Error(Errc::invalid_argument, where_ + ": must be a JSON object");
    const std::string custom_id = string_of(tree, "custom_id");
    line.custom_id = custom_id;
    if (const auto [at, fresh] = seen_.emplace(custom_id, line.number); !fresh)
      throw FieldError(Errc::invalid_argument, "custom_id",
                       json_excerpt(custom_id) + " stands on line " + std::to_string(at->second) + " already");
    if (string_of(tree, "method") != "POST") throw FieldError(Errc::invalid_argument, "method", "must be \"POST\"");
    const std::string url = string_of(tree, "url");
    if (url != "/v1/chat/completions" && url != "/v1/completions")
      throw FieldError(Errc::unsupported, "url",
                       json_excerpt(url) + " is not answered here, only /v1/chat/completions and /v1/completions");
    line.kind = url == "/v1/completions" ? OpenAiKind::completion : OpenAiKind::chat_completion;
    const auto body = tree.find("body");
    if (body == tree.end() || !body->is_object()) throw FieldError(Errc::invalid_argument, "body", "must be an object");
  }

  static std::string string_of(const json& tree, const char* key) {
    const auto found = tree.find(key);
    if (found == tree.end()) throw FieldError(Errc::invalid_argument, key, "is missing");
    if (!found->is_string() || found->get_ref<const std::string&>().empty())
      throw FieldError(Errc::invalid_argument, key, "must be a string that is not empty");
    return found->get<std::string>();
  }

  void read_body(std::string_view body, BatchLine& line) const {
    try {
      line.request = request_of_openai(line.kind, body, defaults_);
      line.request.id = *line.custom_id;
      line.has_seed = line.request.sampling.seed.has_value();
      if (!line.has_seed) line.request.sampling.seed = model::Hash().add(*line.custom_id).value();
    } catch (const FieldError& e) {
      line.fault =
          BatchFault{openai_status(e.code()), Error(e.code(), where_ + ": body." + e.message()), "body." + e.param()};
    } catch (const Error& e) {
      line.fault = BatchFault{openai_status(e.code()), Error(e.code(), where_ + ": " + e.message()), "body"};
    }
  }

  const std::string& origin_;
  const OpenAiDefaults& defaults_;
  std::string where_{};
  std::unordered_map<std::string, std::size_t> seen_{};
};

}  // namespace

std::vector<BatchLine> read_batch(std::string_view text, const std::string& origin, const OpenAiDefaults& defaults) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  Reader reader(origin, defaults);
  std::vector<BatchLine> lines;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) lines.push_back(reader.read(number, line));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

}  // namespace frugal::tools
