// 070: a backend of your own under frugal's engine. This one has no weights: it continues the text as it went on the
// last time the newest token occurred. What it remembers lies in the engine's pages, so batching and the prefix cache
// work as for any model.
//   example_070_own_backend MODEL.gguf   (only its vocabulary is used)
#include <frugal/backend/backend.hpp>
#include <frugal/backend/sampling.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/model/model.hpp>
#include <frugal/policy/prefix_cache.hpp>

#include <cstdio>
#include <cstring>

using frugal::Granule, frugal::ModelId, frugal::Token;

// [backend]
class Parrot final : public frugal::Backend {
 public:
  std::string_view name() const override { return "parrot"; }
  frugal::BackendTraits traits() const override { return {.batch_invariant = true}; }
  ModelId add_model(std::shared_ptr<const frugal::Model> model) override {
    return vocab_ = model->spec().vocab, ModelId(0);
  }
  std::size_t kv_bytes_per_token(ModelId) const override { return sizeof(Token); }
  void bind_arena(const frugal::ArenaLayout& layout) override {
    arena_.resize(layout.bytes);
    page_tokens_ = layout.models[0].page_tokens;
  }
  void copy_pages(std::span<const frugal::PageCopy> copies) override {
    for (const auto& c : copies) std::memcpy(at(c.to), at(c.from), c.tokens * sizeof(Token));
  }
  void forward(const frugal::Batch& batch) override {
    std::size_t next = 0;
    for (const frugal::Segment& s : batch.segments) {
      const std::size_t rows = s.tokens.size();
      for (std::size_t i = 0; i < rows; ++i) token(s, s.start + i) = s.tokens[i];
      for (std::size_t k = 0; k < s.draws.size(); ++k)
        batch.drawn[next++] = frugal::draw(logits(s, s.start + rows - s.draws.size() + k), s.draws[k]);
      const std::size_t wanted = s.logits.size() / vocab_;
      for (std::size_t j = 0; j < wanted; ++j) {
        const auto row = logits(s, s.start + rows - wanted + j);
        std::copy(row.begin(), row.end(), s.logits.begin() + static_cast<std::ptrdiff_t>(j * vocab_));
      }
    }
  }

 private:
  std::byte* at(Granule page) { return arena_.data() + static_cast<std::size_t>(page) * frugal::granule_bytes; }
  Token& token(const frugal::Segment& s, std::size_t position) {
    return reinterpret_cast<Token*>(at(s.pages[position / page_tokens_]))[position % page_tokens_];
  }
  std::vector<float> logits(const frugal::Segment& s, std::size_t position) {
    std::vector<float> row(vocab_, 0.0F);
    for (std::size_t p = position; p-- > 0;)
      if (token(s, p) == token(s, position)) return row[static_cast<std::size_t>(token(s, p + 1))] = 1.0F, row;
    return row;
  }
  std::vector<std::byte> arena_;
  std::size_t vocab_ = 0, page_tokens_ = 0;
};
// [/backend]

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: %s MODEL\n", argv[0]), 2;
  try {
    frugal::EngineOptions options{.backend = std::make_shared<Parrot>(),
                                  .models = {{.name = "parrot", .model = frugal::load_model(argv[1])}},
                                  .kv_bytes = 1 << 20,
                                  .prefix_cache = frugal::lru()};
    frugal::Engine engine(std::move(options));
    frugal::Request request{.prompt = frugal::RawPrompt{"one two three four five, one two"}, .max_tokens = 4};
    const frugal::Answer answer = engine.run(request);
    std::printf("one two three four five, one two|%s\n", answer.text.c_str());
    return answer.text == " three four five," ? 0 : 1;
  } catch (const frugal::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}
