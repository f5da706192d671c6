// OpenAI's embeddings (https://platform.openai.com/docs/api-reference/embeddings): texts become vectors. The endpoint
// writes a vector as a line of base64, see frugal/head/embedding_endpoint.hpp.
#include <charconv>
#include <limits>
#include <utility>

#include "core/base64.hpp"
#include "server/dialect.hpp"
#include "server/openai_answer.hpp"
#include "server/openai_read.hpp"
#include "server/reading.hpp"

namespace frugal::server {

namespace {

constexpr std::size_t most_inputs = 2048;  // the API's own limit

void read_input(Fields& fields, Request& request) {
  const Json& input = fields.need("input");
  if (input.is_array() && !input.empty() && input.front().is_number()) {
    request.prompt = TokenPrompt{text::token_ids<Fields>(input, "input")};
    return;
  }
  const Json list = input.is_array() ? input : Json::array({input});
  if (list.empty() || list.size() > most_inputs)
    refuse("input", "must have 1 to " + std::to_string(most_inputs) + " texts");
  Chat chat;
  for (const Json& one : list) {
    const std::string path = input.is_array() ? "input[" + std::to_string(chat.messages.size()) + "]" : "input";
    if (one.is_array()) refuse(path, "one list of token ids a request; ask again for more", Errc::unsupported);
    if (!one.is_string() || one.get_ref<const std::string&>().empty()) refuse(path, "must be a text that is not empty");
    chat.messages.push_back({.role = "user", .content = one.get<std::string>()});
  }
  request.prompt = std::move(chat);
}

/// A number for each float, with as many digits as tell it from its neighbours.
std::string numbers_of(const std::vector<float>& vector) {
  std::string out = "[";
  for (const float x : vector) {
    char text[32];
    if (out.size() > 1) out += ',';
    out.append(text, std::to_chars(text, text + sizeof text, x).ptr);
  }
  return out + "]";
}

class VectorWriter final : public Writer {
 public:
  VectorWriter(const Job& job, bool base64) : base64_(base64), model_(job.served->model.name) {}

  void delta(Delta delta, std::string&) override { lines_ += delta.text; }

  void finish(const Finish& finish, std::string& out) override {
    out += R"({"object":"list","data":[)";
    std::string_view lines = lines_;
    for (std::size_t index = 0; !lines.empty(); ++index) {
      const std::size_t end = std::min(lines.find('\n'), lines.size());
      out += std::string(index > 0 ? "," : "") + R"({"object":"embedding","index":)" + std::to_string(index) +
             R"(,"embedding":)" + written(lines.substr(0, end)) + "}";
      lines.remove_prefix(std::min(lines.size(), end + 1));
    }
    const Usage& usage = finish.answer_usage();
    const Json counted{{"prompt_tokens", usage.input}, {"total_tokens", usage.input}};
    out += R"(],"model":)" + dumped(Json(model_)) + R"(,"usage":)" + dumped(counted) + "}";
  }

 private:
  std::string written(std::string_view line) const {
    const std::optional<std::vector<float>> vector = floats_from_base64(line);
    if (!vector) throw Error(Errc::internal, "the endpoint's answer is no vector");
    return base64_ ? dumped(Json(line)) : numbers_of(*vector);
  }

  bool base64_;
  std::string model_, lines_{};
};

class OpenAiEmbeddings final : public OpenAiDialect {
 public:
  void read(const Incoming& incoming, const Catalogue& catalogue, Job& job) const override {
    const Json body = parse_body(incoming.body);
    Fields fields(body, "");
    begin_job(incoming, catalogue, fields, job);
    if (job.stream) refuse("stream", "embeddings come whole");
    job.endpoint = job.served->model.embeddings;
    if (job.endpoint == nullptr)
      refuse("model", "the model \"" + job.served->model.name + "\" offers no embeddings here", Errc::unsupported);
    job.request.model.clear();
    job.request.max_tokens = 1;  // for budgets: an answer is no tokens at all
    read_input(fields, job.request);
    const std::string format = fields.text("encoding_format").value_or("float");
    if (format != "float" && format != "base64") refuse("encoding_format", "must be float or base64");
    fields.unsupported("dimensions", "the vectors of this model have one length, and a part of one means nothing");
    fields.ignore({"user"});
    fields.refuse_rest();
    job.writer = std::make_unique<VectorWriter>(job, format == "base64");
  }
  const char* prompt_field() const override { return "input"; }
};

}  // namespace

const Dialect& openai_embeddings() {
  static const OpenAiEmbeddings dialect;
  return dialect;
}

}  // namespace frugal::server
