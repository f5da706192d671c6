// frugal tokenize: text in, token ids out, and back.
#include "tools/commands.hpp"
#include "tools/console.hpp"
#include "tools/files.hpp"

#include <frugal/core/error.hpp>
#include <frugal/model/model.hpp>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <string>

namespace frugal::tools {

namespace {

struct TokenizeOptions {
  std::string model;
  bool decode = false, no_special = false, quiet = false;
};

constexpr const char* tokenize_examples = R"(Examples:
  printf 'Hello there' | frugal tokenize --model M.gguf          # prints [19556,665]
  printf '<|im_start|>' | frugal tokenize --model M.gguf --no-special
  echo '[19556,665]' | frugal tokenize --model M.gguf --decode   # prints Hello there
The text is taken byte for byte, a line end at its end included; invalid UTF-8 is encoded byte by byte.
M may also be a tokenizer.json.)";

std::shared_ptr<const Tokenizer> tokenizer_of(const TokenizeOptions& o) {
  if (std::filesystem::path(o.model).extension() == ".json")
    return std::make_shared<const Tokenizer>(load_tokenizer_json(o.model));
  std::shared_ptr<const Model> model = load_with_progress(o.model, o.quiet);
  if (model->tokenizer_error() != nullptr) throw *model->tokenizer_error();
  if (model->tokenizer() == nullptr) throw Error(Errc::bad_model, o.model + ": holds no tokenizer");
  return {model, model->tokenizer()};
}

std::string ids_as_json(const std::vector<Token>& ids) {
  std::string text = "[";
  for (const Token id : ids) text += (text.size() == 1 ? "" : ",") + std::to_string(id);
  return text + "]\n";
}

void run_tokenize(const TokenizeOptions& o) {
  const auto tokenizer = tokenizer_of(o);
  const std::string input = read_all("-");
  if (o.decode)
    print(tokenizer->decode(parse_ids(input, "standard input"), {.keep_special = !o.no_special}));
  else
    print(ids_as_json(tokenizer->encode(input, {.parse_special = !o.no_special})));
}

}  // namespace

Command add_tokenize(CLI::App& parent) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* app = parent.add_subcommand("tokenize", "Text on standard input, a JSON array of token ids out");
  app->add_option("--model", options->model, "GGUF file, Hugging Face folder or tokenizer.json")->required();
  app->add_flag("--decode", options->decode, "The other way: a JSON array of ids in, text out");
  app->add_flag("--no-special", options->no_special,
                "Encode special tokens as plain text; with --decode, leave control tokens out");
  app->add_flag("--quiet", options->quiet, "No progress on standard error");
  app->footer(tokenize_examples);
  return {app, [options] { run_tokenize(*options); }};
}

}  // namespace frugal::tools
