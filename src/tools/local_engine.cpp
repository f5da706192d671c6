#include "tools/local_engine.hpp"

#include "tools/console.hpp"

#include <frugal/core/error.hpp>
#include <frugal/draft/drafters.hpp>
#include <frugal/policy/speculation.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <utility>

namespace frugal::tools {

namespace {

std::size_t context_bytes(const DecoderSpec& spec) {
  return std::size_t{2} * spec.layers * spec.kv_width() * sizeof(float) * spec.context;
}

std::size_t kv_bytes(const EngineFlags& flags, const EngineOptions& options, std::size_t contexts) {
  if (flags.kv_mib != 0) return static_cast<std::size_t>(flags.kv_mib) << 20;
  constexpr std::size_t most = std::size_t{1} << 30;
  std::size_t bytes = std::size_t{8} << 20;
  for (const EngineModel& m : options.models) bytes += contexts * context_bytes(m.model->spec());
  for (const DraftModel& m : options.draft_models) bytes += contexts * context_bytes(m.model->spec());
  return std::min(most, bytes);
}

/// suffix, prompt_lookup, draft:MODEL, layers:K.
void add_drafter(const std::string& what, const std::shared_ptr<const Model>& target, bool quiet,
                 EngineOptions& options) {
  const std::string kind = what.substr(0, what.find(':'));
  const std::string rest = kind.size() < what.size() ? what.substr(kind.size() + 1) : "";
  std::uint32_t layers = 0;
  const auto [end, failure] = std::from_chars(rest.data(), rest.data() + rest.size(), layers);
  if (what == "suffix")
    options.drafters.push_back(suffix_drafter());
  else if (what == "prompt_lookup")
    options.drafters.push_back(prompt_lookup());
  else if (kind == "draft" && !rest.empty())
    options.draft_models.push_back({.target = {}, .model = load_with_progress(rest, quiet)});
  else if (kind == "layers" && failure == std::errc{} && end == rest.data() + rest.size())
    options.draft_models.push_back({.target = {}, .model = first_layers(target, layers), .name = what});
  else
    throw Error(Errc::invalid_argument,
                "--speculate " + what + ": must be suffix, prompt_lookup, draft:MODEL or layers:K");
}

}  // namespace

void add_engine_flags(CLI::App& app, EngineFlags& flags) {
  app.add_option("--model", flags.model, "GGUF file or Hugging Face folder")->required();
  app.add_option("--speculate", flags.speculate,
                 "Draft tokens and verify them in one pass, for the same answer: suffix, prompt_lookup (both from the "
                 "text so far), draft:MODEL (a smaller model) or layers:K (the model's own first layers); may be given "
                 "several times, the first that has an idea drafts")
      ->allow_extra_args(false);
  add_backend_options(app, flags.backend);
  app.add_option("--kv-mib", flags.kv_mib, "Memory for keys and values; 0 = the model's context, at most 1024 MiB")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{1} << 20))
      ->capture_default_str();
  app.add_flag("--quiet", flags.quiet, "No progress on standard error");
}

std::unique_ptr<Engine> local_engine(const EngineFlags& flags, const std::shared_ptr<const Model>& model,
                                     EngineOptions options, std::size_t contexts) {
  options.backend = make_backend(flags.backend);
  options.models = {{.name = model->name(), .model = model}};
  if (!flags.speculate.empty()) options.speculation = adaptive_drafts();
  for (const std::string& what : flags.speculate) add_drafter(what, model, flags.quiet, options);
  options.kv_bytes = kv_bytes(flags, options, contexts);
  Progress progress(flags.quiet);
  progress.at("preparing weights for " + std::string(options.backend->name()), 0.0);
  return std::make_unique<Engine>(std::move(options));
}

}  // namespace frugal::tools
