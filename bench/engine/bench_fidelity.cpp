// bench_fidelity: how far CpuBackend's distributions are from the fp32 forward pass of the same file (the reference
// backend): mean and median KL divergence in nats, share of positions with the same best token, and how far the
// log-probabilities of the reference's five best tokens are off: 99 of 100 positions, and the worst. Chunks of 512
// tokens, of which the later half counts. The reference's log-probabilities are kept in --base, in the format of
// llama-perplexity's --kl-divergence-base (16 bits each, steps of at most 16 / 65535), so that llama.cpp is measured
// against the same ones.
#include <frugal/backend/reference.hpp>
#include <frugal/core/error.hpp>
#include <frugal/cpu/backend.hpp>
#include <frugal/model/model.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <string>
#include <vector>

using namespace frugal;

namespace {

constexpr std::uint32_t chunk_tokens = 512, first_scored = 256, scored = chunk_tokens - 1 - first_scored;

struct Settings {
  std::string model, text, base, kv = "fp16";
  unsigned threads = 2, chunks = 10;
  bool fine = false, bf16 = false, repack_floats = false;
};

/// A backend with one model and room for one chunk.
class Scorer {
 public:
  Scorer(std::unique_ptr<Backend> backend, std::shared_ptr<const Model> model) : backend_(std::move(backend)) {
    vocab_ = model->spec().vocab;
    const ModelId id = backend_->add_model(std::move(model));
    constexpr std::uint32_t page_tokens = 32;
    const std::size_t granules = (page_tokens * backend_->kv_bytes_per_token(id) + granule_bytes - 1) / granule_bytes;
    const std::array geometry{PageGeometry{page_tokens, granules * granule_bytes}};
    pages_.resize(chunk_tokens / page_tokens);
    for (std::size_t p = 0; p < pages_.size(); ++p) pages_[p] = static_cast<Granule>(p * granules);
    backend_->bind_arena({pages_.size() * granules * granule_bytes, geometry});
  }

  /// Logits of the positions that count, [scored, vocab].
  std::vector<float> logits(std::span<const Token> chunk) {
    std::vector<float> out(std::size_t{scored} * vocab_);
    for (std::uint32_t at = 0; at + 1 < chunk_tokens; at += 64) {
      const std::uint32_t rows = std::min(64U, chunk_tokens - 1 - at);
      const auto wanted = at < first_scored ? std::span<float>{}
                                            : std::span(out).subspan(std::size_t{at - first_scored} * vocab_,
                                                                     std::size_t{rows} * vocab_);
      const std::array segments{
          Segment{.tokens = chunk.subspan(at, rows), .start = at, .pages = pages_, .logits = wanted, .prompt = rows}};
      backend_->forward({ModelId(0), segments, {}});
    }
    return out;
  }

  std::uint32_t vocab() const { return vocab_; }

 private:
  std::unique_ptr<Backend> backend_;
  std::uint32_t vocab_ = 0;
  std::vector<Granule> pages_;
};

double log_sum(std::span<const float> x) {
  const float most = *std::max_element(x.begin(), x.end());
  double total = 0;
  for (const float v : x) total += std::exp(static_cast<double>(v) - static_cast<double>(most));
  return static_cast<double>(most) + std::log(total);
}

/// One position of the file: step and least log-probability as two floats, then [vocab] 16-bit counts of steps.
struct Row {
  float step = 0, least = 0;
  std::vector<std::uint16_t> counts;

  static std::size_t words(std::uint32_t vocab) { return 2 * ((vocab + 1) / 2); }

  static Row of(std::span<const float> logits) {
    const float most = *std::max_element(logits.begin(), logits.end());
    const float low = std::max(*std::min_element(logits.begin(), logits.end()), most - 16.0F);
    Row row{(most - low) / 65535.0F, static_cast<float>(static_cast<double>(low) - log_sum(logits)), {}};
    for (const float x : logits) {
      const float steps = row.step > 0 ? (x - low) / row.step : 0.0F;
      row.counts.push_back(static_cast<std::uint16_t>(std::lround(std::clamp(steps, 0.0F, 65535.0F))));
    }
    row.counts.resize(words(static_cast<std::uint32_t>(logits.size())));
    return row;
  }

  void write(std::ostream& out) const {
    out.write(reinterpret_cast<const char*>(&step), 4).write(reinterpret_cast<const char*>(&least), 4);
    out.write(reinterpret_cast<const char*>(counts.data()), static_cast<std::streamsize>(2 * counts.size()));
  }

  void read(std::istream& in, std::uint32_t vocab) {
    counts.resize(words(vocab));
    in.read(reinterpret_cast<char*>(&step), 4).read(reinterpret_cast<char*>(&least), 4);
    in.read(reinterpret_cast<char*>(counts.data()), static_cast<std::streamsize>(2 * counts.size()));
    if (!in) throw Error(Errc::bad_file, "the base file ends early: remove it");
  }

  double logprob(std::size_t token) const {
    return static_cast<double>(step) * static_cast<double>(counts[token]) + static_cast<double>(least);
  }
};

struct Header {
  char magic[8] = {'_', 'l', 'o', 'g', 'i', 't', 's', '_'};
  std::uint32_t context = chunk_tokens;
  std::int32_t vocab = 0, chunks = 0;
};
static_assert(sizeof(Header) == 20);

std::vector<Token> tokens_of(const Settings& s, const Model& model) {
  std::ifstream file(s.text);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) throw Error(Errc::bad_file, s.text + ": cannot be read");
  std::vector<Token> tokens = model.tokenizer()->encode(text);
  if (tokens.size() < std::size_t{s.chunks} * chunk_tokens) throw Error(Errc::bad_file, s.text + ": too short");
  tokens.resize(std::size_t{s.chunks} * chunk_tokens);
  return tokens;
}

void write_base(const Settings& s, const std::shared_ptr<const Model>& model) {
  const std::vector<Token> tokens = tokens_of(s, *model);
  Scorer reference(reference_backend(), model);
  const std::string unfinished = s.base + ".part";
  std::ofstream out(unfinished, std::ios::binary);
  Header header;
  header.vocab = static_cast<std::int32_t>(reference.vocab()), header.chunks = static_cast<std::int32_t>(s.chunks);
  out.write(reinterpret_cast<const char*>(&header), sizeof header);
  out.write(reinterpret_cast<const char*>(tokens.data()), static_cast<std::streamsize>(4 * tokens.size()));
  for (unsigned c = 0; c < s.chunks; ++c) {
    std::fprintf(stderr, "reference: chunk %u of %u\n", c + 1, s.chunks);
    const auto logits = reference.logits(std::span(tokens).subspan(std::size_t{c} * chunk_tokens, chunk_tokens));
    for (std::uint32_t r = 0; r < scored; ++r)
      Row::of(std::span(logits).subspan(std::size_t{r} * reference.vocab(), reference.vocab())).write(out);
  }
  out.close();
  if (!out) throw Error(Errc::bad_file, unfinished + ": cannot be written");
  std::filesystem::rename(unfinished, s.base);
}

/// The greatest error of a log-probability among the base's five best tokens.
double worst_of_five(const Row& base, std::span<const float> logits, double total) {
  std::vector<std::size_t> tokens(logits.size());
  std::iota(tokens.begin(), tokens.end(), std::size_t{0});
  const auto better = [&](std::size_t a, std::size_t b) { return base.counts[a] > base.counts[b]; };
  std::partial_sort(tokens.begin(), tokens.begin() + 5, tokens.end(), better);
  double worst = 0;
  for (std::size_t i = 0; i < 5; ++i)
    worst = std::max(worst, std::fabs(static_cast<double>(logits[tokens[i]]) - total - base.logprob(tokens[i])));
  return worst;
}

struct Divergence {
  std::vector<double> kl, top_five;  ///< [positions]; of the five best tokens the one that is most off
  std::size_t same_top = 0;

  void add(const Row& base, std::span<const float> logits) {
    const double total = log_sum(logits);
    double sum = 0;
    std::size_t best = 0;
    for (std::size_t t = 0; t < logits.size(); ++t) {
      const double p = base.logprob(t);
      if (base.counts[t] > base.counts[best]) best = t;
      if (p > -16.0) sum += std::exp(p) * (p - (static_cast<double>(logits[t]) - total));
    }
    kl.push_back(sum);
    top_five.push_back(worst_of_five(base, logits, total));
    same_top += std::max_element(logits.begin(), logits.end()) == logits.begin() + static_cast<std::ptrdiff_t>(best);
  }
};

void compare(const Settings& s, const std::shared_ptr<const Model>& model) {
  std::ifstream in(s.base, std::ios::binary);
  Header header, wanted;
  in.read(reinterpret_cast<char*>(&header), sizeof header);
  if (!in || std::memcmp(header.magic, wanted.magic, 8) != 0 || header.context != chunk_tokens)
    throw Error(Errc::bad_file, s.base + ": no base file for chunks of 512 tokens");
  std::vector<Token> tokens(static_cast<std::size_t>(header.chunks) * chunk_tokens);
  in.read(reinterpret_cast<char*>(tokens.data()), static_cast<std::streamsize>(4 * tokens.size()));
  const KvType kv = s.kv == "fp32" ? KvType::fp32 : s.kv == "int8" ? KvType::int8 : KvType::fp16;
  Scorer ours(cpu_backend({.threads = s.threads,
                           .kv = kv,
                           .fine = s.fine,
                           .prompts = s.bf16 ? PromptArithmetic::bf16 : PromptArithmetic::exact,
                           .float_weights = s.repack_floats ? FloatWeights::repacked : FloatWeights::kept}),
              model);
  if (header.vocab != static_cast<std::int32_t>(ours.vocab())) throw Error(Errc::bad_file, s.base + ": other model");
  Divergence d;
  Row row;
  for (std::size_t c = 0; c < tokens.size() / chunk_tokens; ++c) {
    const auto logits = ours.logits(std::span(tokens).subspan(c * chunk_tokens, chunk_tokens));
    for (std::uint32_t r = 0; r < scored; ++r) {
      row.read(in, ours.vocab());
      d.add(row, std::span(logits).subspan(std::size_t{r} * ours.vocab(), ours.vocab()));
    }
  }
  const auto n = static_cast<double>(d.kl.size());
  const double mean = std::accumulate(d.kl.begin(), d.kl.end(), 0.0) / n;
  std::nth_element(d.kl.begin(), d.kl.begin() + static_cast<std::ptrdiff_t>(d.kl.size() / 2), d.kl.end());
  std::sort(d.top_five.begin(), d.top_five.end());
  std::printf(
      "{\"positions\": %zu, \"mean_kl\": %.6f, \"median_kl\": %.6f, \"same_top\": %.3f, "
      "\"top_five_p99\": %.4f, \"top_five_worst\": %.4f}\n",
      d.kl.size(), mean, d.kl[d.kl.size() / 2], 100.0 * static_cast<double>(d.same_top) / n,
      d.top_five[d.top_five.size() * 99 / 100], d.top_five.back());
}

}  // namespace

int main(int argc, char** argv) try {
  Settings s;
  CLI::App app("divergence of the CPU backend from the fp32 reference; prints one JSON object");
  app.add_option("--model", s.model)->required();
  app.add_option("--text", s.text, "needed where --base is not there yet");
  app.add_option("--base", s.base, "the reference's log-probabilities, written where they are missing")->required();
  app.add_option("--chunks", s.chunks);
  app.add_option("--threads", s.threads);
  app.add_option("--kv", s.kv)->check(CLI::IsMember({"fp16", "fp32", "int8"}));
  app.add_flag("--fine", s.fine);
  app.add_flag("--bf16-prompts", s.bf16, "all rows count as prompt rows");
  app.add_flag("--repack-floats", s.repack_floats);
  CLI11_PARSE(app, argc, argv);
  const auto model = load_model(s.model);
  if (!std::filesystem::exists(s.base)) write_base(s, model);
  compare(s, model);
} catch (const Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
