#include "server/openai_read.hpp"

#include <charconv>
#include <cmath>
#include <limits>

namespace frugal::server {

namespace {

constexpr double no_limit = 1e6;

void read_bias(Fields& fields, Sampling& s) {
  const Json* const bias = fields.object("logit_bias");
  if (bias == nullptr) return;
  if (bias->size() > 1024) refuse("logit_bias", "has more than 1024 entries");
  for (const auto& [key, value] : bias->items()) {
    Token token = 0;
    const auto [end, failure] = std::from_chars(key.data(), key.data() + key.size(), token);
    if (failure != std::errc{} || end != key.data() + key.size() || token < 0)
      refuse("logit_bias", "its keys must be token ids");
    const double by = value.is_number() ? value.get<double>() : std::nan("");
    if (!(by >= -100 && by <= 100)) refuse("logit_bias." + key, "must be a number from -100 to 100");
    s.logit_bias.emplace_back(token, static_cast<float>(by));
  }
}

}  // namespace

void read_sampling(Fields& fields, Request& request) {
  Sampling& s = request.sampling;
  const auto number = [&](const char* key, double low, double high, double otherwise) {
    return static_cast<float>(fields.number(key, low, high).value_or(otherwise));
  };
  s.temperature = number("temperature", 0, 2, 1);
  s.top_p = number("top_p", 0, 1, 1);
  s.presence_penalty = number("presence_penalty", -2, 2, 0);
  s.frequency_penalty = number("frequency_penalty", -2, 2, 0);
  s.min_p = number("min_p", 0, 1, 0);
  s.repetition_penalty = number("repetition_penalty", 1e-3, no_limit, 1);
  s.top_k = static_cast<std::int32_t>(fields.whole("top_k", 0, std::numeric_limits<std::int32_t>::max()).value_or(0));
  if (const Json* const seed = fields.take("seed")) {
    if (!seed->is_number_integer()) refuse("seed", "must be a whole number");
    s.seed =
        seed->is_number_unsigned() ? seed->get<std::uint64_t>() : static_cast<std::uint64_t>(seed->get<std::int64_t>());
  }
  read_bias(fields, s);
}

StreamOptions read_stream_options(Fields& fields, bool stream) {
  StreamOptions out;
  const Json* const options = fields.object("stream_options");
  if (options == nullptr) return out;
  if (!stream) refuse("stream_options", "is for streams only");
  Fields inner(*options, "stream_options");
  out.usage = inner.flag("include_usage").value_or(false);
  inner.ignore({"include_obfuscation"});
  inner.refuse_rest();
  return out;
}

void need_tokenizer(const Job& job, const char* field) {
  if (!job.served->model.model || job.served->model.model->tokenizer() == nullptr)
    refuse(field, "the vocabulary of the model \"" + job.served->model.name + "\" is not known here",
           Errc::unsupported);
}

}  // namespace frugal::server
