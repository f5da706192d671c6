#include "server/reading.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <random>
#include <set>
#include <utility>

#include "core/splitmix.hpp"

namespace frugal::server {

namespace {

constexpr std::size_t most_tools = 128, most_labels = 16, most_label = 256;

std::int64_t number_of(const Incoming& incoming, const char* header, std::int64_t low, std::int64_t high) {
  const std::string_view text = incoming.header(header);
  std::int64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc{} || end != text.data() + text.size() || value < low || value > high)
    refuse("", std::string("the header ") + header + " must be a whole number from " + std::to_string(low) + " to " +
                   std::to_string(high));
  return value;
}

void read_headers(const Incoming& incoming, Request& request) {
  constexpr std::string_view label = "x-frugal-label-";
  request.type = incoming.header("x-frugal-type").substr(0, most_label);
  if (!incoming.header("x-frugal-priority").empty())
    request.priority =
        static_cast<std::int32_t>(number_of(incoming, "x-frugal-priority", -1'000'000, incoming.most_priority));
  if (!incoming.header("x-frugal-deadline-ms").empty())
    request.deadline =
        steady_clock().now() + std::chrono::milliseconds(number_of(incoming, "x-frugal-deadline-ms", 1, 86'400'000));
  for (const auto& [name, value] : incoming.headers) {
    if (name.rfind(label, 0) != 0 || name.size() == label.size()) continue;
    if (request.labels.size() == most_labels) refuse("", "there are more than 16 labels");
    request.labels.emplace_back(name.substr(label.size()), value.substr(0, most_label));
  }
}

std::uint64_t process_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) ^ device();
}

}  // namespace

std::string_view Incoming::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return {};
}

const Served& Catalogue::find(const std::optional<std::string>& name) const {
  if (!name || name->empty()) return models.front();
  for (const Served& served : models)
    if (served.model.name == *name) return served;
  throw Refused{{404, Error(Errc::invalid_argument, "the model \"" + name->substr(0, 200) + "\" is not served here"),
                 "model", "model_not_found", true}};
}

std::optional<ApiError> failure_of(const Finish& finish) {
  if (finish.error) return api_error(*finish.error);
  if (finish.reason == FinishReason::cancelled)
    return ApiError{503, Error(Errc::cancelled, "the request was cancelled by the server"), {}, "cancelled", false};
  if (finish.reason == FinishReason::refused || finish.reason == FinishReason::error)
    return ApiError{500, Error(Errc::internal, "the request failed"), {}, {}, false};
  return std::nullopt;
}

void begin_job(const Incoming& incoming, const Catalogue& catalogue, Fields& fields, Job& job) {
  job.served = &catalogue.find(fields.text("model"));
  job.endpoint = job.served->model.endpoint;
  job.request.model = job.served->model.asks_for;
  job.request.id = incoming.id;
  job.request.tenant = incoming.tenant;
  read_headers(incoming, job.request);
  job.stream = fields.flag("stream").value_or(false);
}

void add_tool(Offer& offer, const std::string& name, const Json* description, const Json* parameters,
              const std::string& path) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
  };
  if (name.empty() || name.size() > 128 || !std::all_of(name.begin(), name.end(), fits))
    refuse(path + ".name", "must be 1 to 128 letters, digits, dots, dashes and underscores");
  if (std::find(offer.names.begin(), offer.names.end(), name) != offer.names.end())
    refuse(path + ".name", "another tool has the same name");
  if (offer.names.size() == most_tools) refuse(path, "there are more than 128 tools");
  Json function{{"name", name}};
  if (description != nullptr) function["description"] = *description;
  function["parameters"] =
      parameters != nullptr ? *parameters : Json{{"type", "object"}, {"properties", Json::object()}};
  offer.tools.push_back({{"type", "function"}, {"function", std::move(function)}});
  offer.names.push_back(name);
}

void offer_tools(Job& job, const Offer& offer, const Choice& choice) {
  Chat& chat = std::get<Chat>(job.request.prompt);
  const Served& served = *job.served;
  if (choice.kind == Choice::Kind::one &&
      std::find(offer.names.begin(), offer.names.end(), choice.name) == offer.names.end())
    refuse("tool_choice", "no tool is called \"" + choice.name.substr(0, 128) + "\"");
  if (choice.kind == Choice::Kind::required && offer.names.empty()) refuse("tool_choice", "there are no tools");
  const bool used = !offer.names.empty() && choice.kind != Choice::Kind::none;
  if (used) chat.tools = dumped(offer.tools);
  if (!served.local()) {  // the endpoint's own business
    if (choice.kind == Choice::Kind::required || choice.kind == Choice::Kind::one)
      refuse("tool_choice", "a call cannot be forced on a model that runs elsewhere", Errc::unsupported);
    return;
  }
  if (used && served.tools.written == ToolStyle::Written::unknown)
    refuse("tools", "calls in the format of the model \"" + served.model.name + "\" cannot be read here",
           Errc::unsupported);
  if (choice.kind == Choice::Kind::required || choice.kind == Choice::Kind::one) {
    try {
      job.request.constraint = must_call(chat.tools, choice.name, served.tools.written);
    } catch (const Error& error) {
      refuse("tools", error.message(), error.code());
    }
  }
  if (served.tools.told == ToolStyle::Told::in_system) write_tools_as_text(chat);
}

void require_schema(Job& job, const Json& schema, const std::string& path) {
  if (job.request.constraint) refuse(path, "cannot be combined with a forced call of a tool", Errc::unsupported);
  try {
    // compact: white space is billed like words, and small models get lost in it
    job.request.constraint = grammar::json_schema(dumped(schema), {.whitespace = grammar::Whitespace::compact});
  } catch (const Error& error) {
    refuse(path, error.message(), error.code());
  }
}

void ask_for_effort(Job& job, const std::string& effort, const std::string& field) {
  constexpr std::array known{"none", "minimal", "low", "medium", "high", "xhigh", "max"};
  if (std::find(known.begin(), known.end(), effort) == known.end())
    refuse(field, "must be none, minimal, low, medium, high, xhigh or max");
  Chat& chat = std::get<Chat>(job.request.prompt);
  Json variables = chat.variables.empty() ? Json::object() : Json::parse(chat.variables);
  const auto set = [&](const char* name, Json value) {
    if (variables.contains(name)) refuse(field, "is in chat_template_kwargs as well");
    variables[name] = std::move(value);
    chat.variables = dumped(variables);
  };
  const ToolStyle::Effort offered = job.served->tools.effort;
  if (offered == ToolStyle::Effort::named) return set("reasoning_effort", effort);
  const bool off = effort == "none";
  if (offered == ToolStyle::Effort::on_off && (off || effort == "medium")) return set("enable_thinking", !off);
  if (offered == ToolStyle::Effort::on_off)
    refuse(field, "the template of this model turns thinking on (medium) or off (none) only", Errc::unsupported);
  if (off && job.served->local()) return;  // it does not think anyway
  refuse(field, "the template of this model has no such control", Errc::unsupported);
}

AnswerSplitter splitter_of(const Job& job, const Offer& offer, const Choice& choice) {
  const bool local = job.served->local();
  const bool called = local && choice.kind != Choice::Kind::none;
  ToolStyle style = job.served->tools;
  if (!local || job.request.constraint) style.opens_thought = false;
  return AnswerSplitter(style, called ? offer.names : std::vector<std::string>());
}

std::string fresh_name(const char* prefix) {
  static const std::uint64_t seed = process_seed();
  static std::atomic<std::uint64_t> count{0};
  const std::uint64_t first = seed + 2 * count.fetch_add(1) * splitmix_gamma;
  constexpr const char* digits = "0123456789abcdef";
  std::string name = prefix;
  for (std::uint64_t bits : {splitmix64(first), splitmix64(first + splitmix_gamma)})
    for (int i = 0; i < 12; ++i, bits >>= 4) name += digits[bits & 15];
  return name;
}

}  // namespace frugal::server
