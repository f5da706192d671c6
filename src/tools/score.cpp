// frugal score: the raw logits of every position of a token sequence, for comparing backends and models. Talks to a
// Backend alone, without an engine: pages are laid out by hand and the sequence goes through in chunks, so memory holds
// one chunk of logits, never all.
#include "tools/backends.hpp"
#include "tools/commands.hpp"
#include "tools/console.hpp"
#include "tools/files.hpp"

#include <frugal/core/error.hpp>
#include <frugal/model/model.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace frugal::tools {

namespace {

struct ScoreOptions {
  std::string model, ids_file, out;
  BackendChoice backend;
  std::uint32_t chunk = 64;
  bool quiet = false;
};

constexpr const char* score_examples = R"help(Examples:
  printf 'The capital of France is' | frugal tokenize --model M.gguf > ids.json
  frugal score --model M.gguf --ids-file ids.json --out logits.npy
  python3 -c "import numpy; print(numpy.load('logits.npy')[-1].argmax())"   # the id that follows
Row i of the matrix holds the logits of the token after ids[0..i]. The ids are taken as they are: nothing is added.)help";

void check_ids(const std::vector<Token>& ids, const DecoderSpec& spec, const std::string& file) {
  if (ids.empty()) throw Error(Errc::invalid_argument, file + ": holds no token id");
  if (ids.size() > spec.context)
    throw Error(Errc::too_large, file + ": " + std::to_string(ids.size()) + " ids, but the model's context is " +
                                     std::to_string(spec.context));
  for (std::size_t i = 0; i < ids.size(); ++i)
    if (static_cast<std::uint32_t>(ids[i]) >= spec.vocab)
      throw Error(Errc::invalid_argument, file + ": entry " + std::to_string(i) + " is " + std::to_string(ids[i]) +
                                              ", but the vocabulary ends at " + std::to_string(spec.vocab - 1));
}

/// The block table of the only sequence: pages in a row from granule 0.
std::vector<Granule> bind_pages(Backend& backend, ModelId model, std::size_t tokens) {
  constexpr std::uint32_t page_tokens = 32;
  const std::size_t raw = page_tokens * backend.kv_bytes_per_token(model);
  const std::size_t granules = (raw + granule_bytes - 1) / granule_bytes;
  const std::array geometry{PageGeometry{.page_tokens = page_tokens, .page_bytes = granules * granule_bytes}};
  std::vector<Granule> pages((tokens + page_tokens - 1) / page_tokens);
  for (std::size_t p = 0; p < pages.size(); ++p) pages[p] = static_cast<Granule>(p * granules);
  backend.bind_arena({.bytes = pages.size() * granules * granule_bytes, .models = geometry});
  return pages;
}

/// Weights that overflow give infinities and NaN, which would pass for scores.
void check_logits(std::span<const float> logits, std::size_t first_position, std::size_t vocab, const Model& model) {
  const auto bad = std::find_if(logits.begin(), logits.end(), [](float x) { return !std::isfinite(x); });
  if (bad == logits.end()) return;
  const std::size_t at = static_cast<std::size_t>(bad - logits.begin());
  throw Error(Errc::bad_model, "model " + model.name() + ": the logit of token " + std::to_string(at % vocab) +
                                   " at position " + std::to_string(first_position + at / vocab) +
                                   " is not a finite number");
}

void run_score(const ScoreOptions& o) {
  check_output(o.out, {o.ids_file, o.model});
  const std::vector<Token> ids = parse_ids(read_all(o.ids_file), o.ids_file);
  const auto model = load_with_progress(o.model, o.quiet);
  check_ids(ids, model->spec(), o.ids_file);
  const auto backend = make_backend(o.backend);
  Progress progress(o.quiet);
  progress.at("preparing weights for " + std::string(backend->name()), 0.0);
  const ModelId id = backend->add_model(model);
  const std::vector<Granule> pages = bind_pages(*backend, id, ids.size());

  const std::size_t vocab = model->spec().vocab;
  const std::size_t chunk = std::min({std::size_t{o.chunk}, std::size_t{backend->traits().max_rows}, ids.size()});
  NpyWriter file(o.out, ids.size(), vocab);
  std::vector<float> logits(chunk * vocab);  // [chunk, vocab]
  for (std::size_t start = 0; start < ids.size(); start += chunk) {
    progress.at("scoring", static_cast<double>(start) / static_cast<double>(ids.size()));
    const std::size_t rows = std::min(chunk, ids.size() - start);
    const auto filled = std::span(logits).first(rows * vocab);
    const std::array segments{Segment{.tokens = std::span(ids).subspan(start, rows),
                                      .start = static_cast<std::uint32_t>(start),
                                      .pages = pages,
                                      .logits = filled,
                                      .prompt = static_cast<std::uint32_t>(rows)}};
    backend->forward({.model = id, .segments = segments, .drawn = {}});
    check_logits(filled, start, vocab, *model);
    file.write(filled);
  }
  file.finish();
  progress.at("scoring", 1.0);
}

}  // namespace

Command add_score(CLI::App& parent) {
  auto options = std::make_shared<ScoreOptions>();
  CLI::App* app =
      parent.add_subcommand("score", "A JSON array of ids in, their logits out: float32 [n, vocab] as .npy");
  app->add_option("--model", options->model, "GGUF file or Hugging Face folder")->required();
  app->add_option("--ids-file", options->ids_file, "JSON array of token ids; - = standard input")->required();
  app->add_option("--out", options->out, "The .npy file to write")->required();
  add_backend_options(*app, options->backend);
  app->add_option("--chunk", options->chunk, "Rows of one forward pass")
      ->check(CLI::Range(1U, 4096U))
      ->capture_default_str();
  app->add_flag("--quiet", options->quiet, "No progress on standard error");
  app->footer(score_examples);
  return {app, [options] { run_score(*options); }};
}

}  // namespace frugal::tools
