// 030: a cap of your own. A policy decides with a value; the engine ends the answer and says who capped it.
//   example_030_own_cap MODEL.gguf
#include "pick_backend.hpp"

#include <frugal/engine/engine.hpp>
#include <frugal/model/model.hpp>
#include <frugal/policy/output.hpp>

#include <cstdio>
#include <optional>
#include <string>

namespace {

// [policy]
/// Ends an answer with its n-th sentence.
class Sentences final : public frugal::OutputPolicy {
 public:
  explicit Sentences(int n) : n_(n) {}
  std::string_view name() const override { return "sentences"; }
  std::uint32_t budget(const frugal::RequestView&) override { return 0; }  // no opinion
  std::optional<frugal::Stop> after(const frugal::SequenceView& sequence) override {
    const std::string_view text = sequence.text;
    int ended = 0;
    for (std::size_t i = 0; i + 1 < text.size(); ++i)
      ended += (text[i] == '.' || text[i] == '!' || text[i] == '?') && (text[i + 1] == ' ' || text[i + 1] == '\n');
    // The space that ends the sentence came with the first token of the next one, which is cut off again.
    if (ended >= n_) return frugal::Stop{.policy = "sentences", .trim_tokens = 1};
    return std::nullopt;
  }

 private:
  int n_;
};
// [/policy]

frugal::Answer ask(frugal::Engine& engine, std::string type) {
  frugal::Request request;
  request.prompt = frugal::Chat{.messages = {{.role = "user", .content = "Tell me about the moon."}}};
  request.max_tokens = 80;
  request.type = std::move(type);
  return engine.run(std::move(request));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: %s MODEL\n", argv[0]), 2;
  try {
    frugal::EngineOptions options;
    options.backend = pick_backend();
    options.models = {{.name = "smollm2", .model = frugal::load_model(argv[1])}};
    // [use]
    // A loop ends any answer; a request of type "brief" ends with its first sentence.
    options.output =
        frugal::first_of({frugal::repeat_guard(), frugal::for_type("brief", std::make_shared<Sentences>(1))});
    // [/use]
    frugal::Engine engine(std::move(options));

    const frugal::Answer whole = ask(engine, "essay");
    const frugal::Answer brief = ask(engine, "brief");
    std::printf("%s\n-- %zu tokens\n\n%s\n-- %zu tokens, ended by %s\n", whole.text.c_str(), whole.tokens.size(),
                brief.text.c_str(), brief.tokens.size(), brief.finish.detail.c_str());
    return brief.finish.detail == "sentences" && brief.tokens.size() < whole.tokens.size() ? 0 : 1;
  } catch (const frugal::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}
