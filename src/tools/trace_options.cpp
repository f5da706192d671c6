#include "tools/trace_options.hpp"

#include "tools/console.hpp"
#include "tools/files.hpp"

#include <frugal/core/error.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace frugal::tools {

namespace {

/// A type beyond those with a row of their own is in "(other)" and cannot be told: then nothing is refused.
void check_deferrable(const Workload& workload, const std::vector<std::string>& names) {
  std::vector<std::string> known;
  for (const SliceStats& slice : workload.types()) known.push_back(slice.name);
  const auto is_known = [&](const std::string& name) {
    return std::find(known.begin(), known.end(), name) != known.end();
  };
  if (is_known("(other)")) return;
  for (const std::string& name : names) {
    if (is_known(name)) continue;
    std::string all;
    for (const std::string& other : known) all += (all.empty() ? "" : ", ") + other;
    throw Error(Errc::invalid_argument,
                "--deferrable " + name + ": no request has this type; there are " + all.substr(0, 400));
  }
}

}  // namespace

const char* const trace_formats =
    R"(A trace is JSON lines: frugal's own (docs/trace.md), a plain request log (prompt_tokens and output_tokens; timestamp in
Unix seconds or ISO 8601, type, model, cached_tokens, ttft_ms, e2e_ms and prefix_blocks where known), Mooncake's (input_length, output_length,
hash_ids), or a result file of `vllm bench serve --save-detailed`. "-" is standard input.)";

void add_trace_options(CLI::App& app, TraceOptions& o) {
  app.add_option("--price-book", o.price_book, "JSON of your own prices, on top of the built-in ones (docs/prices.md)");
  app.add_option("--cache-tokens", o.cache_tokens, "Capacity of the simulated prefix cache")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{1024}, std::size_t{1} << 36U));
  app.add_option("--deferrable", o.deferrable, "A request type that nobody waits for; may be repeated");
  app.add_flag("--strict", o.strict,
               "The first line that cannot be read ends it; else such lines are named and left out");
  app.add_flag("--quiet", o.quiet, "No progress on standard error");
}

Workload read(const std::string& path, const TraceOptions& o) {
  WorkloadOptions options;
  if (!o.price_book.empty()) options.prices = options.prices.with(PriceBook::parse(read_all(o.price_book)));
  options.cache_blocks = o.cache_tokens / trace_block_tokens;
  options.deferrable_types = o.deferrable;
  std::error_code unknown;
  const std::uintmax_t size = path == "-" ? 0 : std::filesystem::file_size(path, unknown);
  Progress progress(o.quiet);
  ReadHooks hooks;
  hooks.progress = [&](std::uint64_t bytes) {
    if (size > 0 && !unknown) progress.at("reading " + path, static_cast<double>(bytes) / static_cast<double>(size));
  };
  std::uint64_t bad = 0;
  constexpr std::uint64_t shown = 5;
  if (!o.strict)
    hooks.bad_line = [&](const Error& e) {
      if (++bad <= shown) say("left out", {e.message()});
      if (bad == shown + 1) say("left out", {"further lines, of which no more is said"});
    };
  Workload workload = read_workload(path, std::move(options), hooks);
  if (path == o.trace) check_deferrable(workload, o.deferrable);
  return workload;
}

void say(const char* command, const std::vector<std::string>& sentences) {
  for (const std::string& sentence : sentences) std::fprintf(stderr, "%s: %s\n", command, sentence.c_str());
}

}  // namespace frugal::tools
