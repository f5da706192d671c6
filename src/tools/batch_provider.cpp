#include "tools/batch_provider.hpp"

#include "tools/files.hpp"
#include "tools/trace_options.hpp"

#include <frugal/core/error.hpp>
#include <frugal/meter/price_book.hpp>
#ifdef FRUGAL_WITH_HTTP
#include <frugal/http/batch_endpoint.hpp>
#endif

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <utility>

namespace frugal::tools {

void add_provider_flags(CLI::App& app, ProviderFlags& flags) {
  app.add_option("--provider", flags.provider,
                 "Send the lines to a provider's batch API, at half the price and within a day: openai or anthropic; "
                 "--model is then the provider's name for it")
      ->check(CLI::IsMember({"openai", "anthropic"}));
  app.add_option("--url", flags.url, "Of the API, with its version; default: the provider's own");
  app.add_option("--key-file", flags.key_file, "A file whose first line is the API's key");
  app.add_option("--ca-file", flags.ca_file, "Certificates to trust instead of the system's");
  app.add_option("--poll", flags.poll_seconds, "Seconds between two looks at the batch")
      ->check(CLI::Range(0.05, 86400.0))
      ->capture_default_str();
}

std::optional<double> batch_cost(const ProviderFlags& flags, const std::string& model, const Usage& usage) {
  const PriceQuery query{.batch = true};
  const PriceBook& book = PriceBook::built_in();
  for (const std::string& name : {flags.provider + "/" + model, model})
    if (const expected<Cost> cost = book.cost(name, usage, query)) return cost->total();
  return std::nullopt;
}

#ifdef FRUGAL_WITH_HTTP

namespace {

std::string key_of(const std::string& path) {
  const std::string all = read_all(path);
  std::string key = all.substr(0, all.find_first_of("\r\n"));
  if (key.empty()) throw Error(Errc::invalid_argument, path + ": its first line, which should be the key, is empty");
  return key;
}

HttpBatchOptions options_of(const ProviderFlags& flags, const ProviderRun& run) {
  const bool anthropic = flags.provider == "anthropic";
  HttpBatchOptions o;
  o.http.name = flags.provider;
  o.http.api = anthropic ? HttpApi::anthropic_messages : HttpApi::openai_chat;
  o.http.url = !flags.url.empty() ? flags.url
               : anthropic        ? "https://api.anthropic.com/v1"
                                  : "https://api.openai.com/v1";
  o.http.model = run.model;
  o.http.ca_file = flags.ca_file;
  if (!flags.key_file.empty()) o.http.key = [key = key_of(flags.key_file)] { return key; };
  if (!run.quiet)
    o.http.log = [](LogLevel, std::uint64_t, std::string_view line) { say("frugal batch", {std::string(line)}); };
  o.state_file = run.state_file;
  o.poll = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(flags.poll_seconds));
  o.linger = std::chrono::milliseconds(200);
  return o;
}

}  // namespace

void check_provider(const ProviderFlags& flags) {
  if (!flags.key_file.empty()) key_of(flags.key_file);
}

BatchProgress run_provider_batch(const ProviderFlags& flags, const ProviderRun& run, std::vector<Request> requests,
                                 BatchOptions options) {
  HttpBatchEndpoint endpoint(options_of(flags, run));
  options.in_flight = std::max<std::size_t>(1, requests.size());
  return run_batch(endpoint, std::move(requests), options);
}

#else

void check_provider(const ProviderFlags&) {
  throw Error(Errc::unsupported, "--provider needs the component http, which this build lacks");
}

BatchProgress run_provider_batch(const ProviderFlags& flags, const ProviderRun&, std::vector<Request>, BatchOptions) {
  check_provider(flags);
  return {};
}

#endif

}  // namespace frugal::tools
