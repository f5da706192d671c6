// The program `frugal`: tokenize, render, generate, answer batches and score with a local model; serve models; replay a
// trace and advise on it; record and fit a cascade; train a head. Results go to standard output, progress and errors to
// standard error. The exit code is 0, 2 where the command line, a file or the request was wrong, and 1 where a command
// checks something and it does not hold.
#include "tools/commands.hpp"
#include "tools/console.hpp"
#include "tools/options.hpp"

#include <frugal/core/error.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <iostream>
#include <new>
#include <sstream>
#include <string>
#include <vector>

#include "core/version_text.hpp"

namespace {

constexpr int exit_failure = 2;

constexpr const char* examples = R"(Examples:
  frugal generate --model M.gguf --prompt "Once upon a time" --max-tokens 40
  frugal generate --model M.gguf --messages chat.json --max-tokens 64 --json
  frugal batch in.jsonl out.jsonl --model M.gguf --serve-as gpt-4o-mini
  printf 'Hello there' | frugal tokenize --model M.gguf
  frugal render --model M.gguf --messages chat.json --set enable_thinking=false
  frugal score --model M.gguf --ids-file ids.json --out logits.npy
  frugal advise requests.jsonl
  frugal replay trace.jsonl --report out.html
  frugal cascade fit outcomes.jsonl --max-loss 0.03 -o policy.json
  frugal train head --model M.gguf --data labelled.jsonl -o head.safetensors
  frugal serve --model M.gguf --listen 127.0.0.1:8080

M.gguf is a GGUF file or a Hugging Face folder (config.json, *.safetensors, tokenizer.json).
`frugal COMMAND --help` explains one command with examples of its own.)";

std::string name_and_version() { return "frugal " + frugal::version_text(); }

int fail(const std::string& where, std::string_view kind, std::string_view what) {
  std::cerr << where << ": " << what << " (" << kind << ")\n";
  return exit_failure;
}

int run(const frugal::tools::Command& command) {
  const std::string where = "frugal " + command.app->get_name();
  try {
    return command.run();
  } catch (const frugal::Error& e) {
    return fail(where, frugal::to_string(e.code()), e.message());
  } catch (const std::bad_alloc&) {
    return fail(where, "out_of_memory", "the machine has no memory left");
  } catch (const std::exception& e) {
    return fail(where, "internal", e.what());
  }
}

/// --help and --version.
int say_what_was_asked(const CLI::App& app, const CLI::Success& asked) {
  std::ostringstream text;
  app.exit(asked, text, std::cerr);
  try {
    frugal::tools::print(text.str());
    return 0;
  } catch (const frugal::Error& e) {
    return fail("frugal", frugal::to_string(e.code()), e.message());
  }
}

/// CLI11 takes an unknown command for a missing one; its name is what the user needs to see.
bool is_unknown_command(int argc, char** argv, const std::vector<frugal::tools::Command>& commands) {
  if (argc < 2 || argv[1][0] == '-') return false;
  return std::none_of(commands.begin(), commands.end(), [&](const auto& c) { return c.app->get_name() == argv[1]; });
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a reader that left is then a failed write, reported as such
  CLI::App app{"frugal: language-model inference that does not pay twice."};
  app.footer(examples);
  app.set_version_flag("--version", name_and_version());
  app.require_subcommand(1);
  using namespace frugal::tools;
  std::vector<Command> commands{add_tokenize(app), add_render(app), add_generate(app), add_batch(app),
                                add_score(app),    add_replay(app), add_advise(app),   add_cascade(app),
                                add_grammar(app),  add_train(app),  add_head(app)};
#ifdef FRUGAL_WITH_SERVE
  commands.push_back(add_serve(app));
#endif
  if (is_unknown_command(argc, argv, commands)) {
    std::cerr << "frugal: there is no command '" << argv[1]
              << "'; there are tokenize, render, generate, batch, score, replay, advise, cascade, grammar, train, head "
                 "and serve";
#ifndef FRUGAL_WITH_SERVE
    std::cerr << " (serve is not in this build)";
#endif
    std::cerr << '\n';
    return exit_failure;
  }
  check_numbers(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {
    return say_what_was_asked(app, e);
  } catch (const CLI::ParseError& e) {
    app.exit(e);
    return exit_failure;
  }
  for (const auto& command : commands)
    if (command.app->parsed()) return run(command);
  return exit_failure;
}
