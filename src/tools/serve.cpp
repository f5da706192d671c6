// frugal serve: local models, remote ones and cascades of both behind the APIs that clients speak.
#include <frugal/core/error.hpp>

#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tools/backends.hpp"
#include "tools/commands.hpp"
#include "tools/console.hpp"
#include "tools/files.hpp"
#include "tools/service.hpp"

namespace frugal::tools {

namespace {

struct ServeOptions {
  std::string config, listen;
  std::vector<std::string> models, speculate, key_files;
  std::uint64_t kv_mib = 0;
  std::string access_log;
  BackendChoice backend;
  bool quiet = false;
};

constexpr const char* serve_examples = R"(Examples:
  frugal serve --model M.gguf
  frugal serve --model small=S.gguf --model large=L.gguf --listen 0.0.0.0:8080 --key-file team.key
  frugal serve serve.yaml
A whole serve.json: {"listen": "127.0.0.1:8080", "models": [{"name": "s", "path": "M.gguf"}]}; YAML has the same keys.
docs/serving.md has all of them.
Clients: OpenAI(base_url="http://127.0.0.1:8080/v1") and Anthropic(base_url="http://127.0.0.1:8080").
SIGTERM, SIGINT and SIGHUP end it: requests that run are finished first; a second signal cancels them.)";

ServeConfig config_of(const ServeOptions& o) {
  ServeConfig config;
  if (!o.config.empty()) config = parse_serve_config(read_all(o.config), o.config);
  for (const std::string& model : o.models) {
    const std::size_t sign = model.find('=');
    if (sign == std::string::npos)
      config.models.push_back({.place = {}, .name = {}, .path = model});
    else
      config.models.push_back({.place = {}, .name = model.substr(0, sign), .path = model.substr(sign + 1)});
  }
  if (!o.listen.empty()) set_listen(config, o.listen, "--listen");
  for (const std::string& file : o.key_files) config.keys.push_back({"--key-file", file, {}, 0});
  if (o.kv_mib != 0) {
    config.kv_mib = o.kv_mib;
    config.places.kv_mib = "--kv-mib";
  }
  if (!o.access_log.empty()) {
    config.access_log = o.access_log;
    config.places.access_log = "--access-log";
  }
  for (const std::string& name : o.speculate)
    if (!is_drafter(name))
      throw Error(Errc::invalid_argument, "--speculate " + name + ": must be suffix or prompt_lookup");
  config.speculate.insert(config.speculate.end(), o.speculate.begin(), o.speculate.end());
  if (config.models.empty() && config.heads.empty() && config.remotes.empty())
    throw Error(Errc::invalid_argument, "nothing to serve: give --model or a file of settings");
  return config;
}

void run_serve(const ServeOptions& o) {
  const ServeConfig config = config_of(o);
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGHUP);                    // its terminal was closed
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);  // in every thread that is made from here on
  auto service = std::make_unique<Service>(config, o.backend, o.quiet);
  const std::string host = config.address.find(':') == std::string::npos ? config.address : "[" + config.address + "]";
  print("listening on http://" + host + ":" + std::to_string(service->server().port()) + " for " + service->names() +
        "\n");
  int signal = 0;
  sigwait(&ends, &signal);
  if (!o.quiet) std::cerr << "frugal serve: draining\n";
  Server& server = service->server();
  server.drain();
  while (!server.wait_for(std::chrono::milliseconds(50))) {
    const timespec at_once{0, 0};
    if (sigtimedwait(&ends, nullptr, &at_once) > 0) server.cancel();
  }
}

}  // namespace

Command add_serve(CLI::App& parent) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* app = parent.add_subcommand("serve", "Serve models to OpenAI's and Anthropic's clients over HTTP");
  app->add_option("CONFIG,--config", options->config,
                  "A file with everything that is served: JSON, or YAML where its name ends in .yaml or .yml");
  app->add_option("--model", options->models,
                  "A GGUF file or Hugging Face folder, or NAME=PATH; may be given several times")
      ->allow_extra_args(false);
  app->add_option("--listen", options->listen,
                  "address:port; the default is 127.0.0.1:8080, port 0 takes any free one");
  app->add_option("--key-file", options->key_files,
                  "A file with a key that clients must have; may be given several times")
      ->allow_extra_args(false);
  app->add_option("--kv-mib", options->kv_mib, "Memory for keys and values; 0 = by the models' contexts, at most 2 GiB")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{1} << 20));
  app->add_option("--speculate", options->speculate, "Draft tokens from the text so far: suffix or prompt_lookup")
      ->allow_extra_args(false);
  app->add_option("--access-log", options->access_log, "One JSON line a request into this file; - = standard error");
  add_backend_options(*app, options->backend);
  app->add_flag("--quiet", options->quiet, "No progress on standard error");
  app->footer(serve_examples);
  return {app, [options] { run_serve(*options); }};
}

}  // namespace frugal::tools
