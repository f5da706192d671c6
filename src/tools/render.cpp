// frugal render: the prompt that a conversation becomes, as the model reads it.
#include "tools/commands.hpp"
#include "tools/console.hpp"
#include "tools/files.hpp"

#include <frugal/core/error.hpp>
#include <frugal/model/model.hpp>
#include <frugal/model/prompt.hpp>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace frugal::tools {
namespace {

struct RenderOptions {
  std::string model, messages, chat_template;
  std::vector<std::string> set;
  bool json = false, parse_special = false, no_generation_prompt = false, quiet = false;
};

constexpr const char* render_examples = R"(Examples:
  frugal render --model M.gguf --messages chat.json
  frugal render --model M.gguf --messages chat.json --set enable_thinking=false --set 'strftime_now="2025-01-31"'
  frugal render --model M.gguf --messages chat.json --json     # {"text", "ids", "content"}
The text is printed byte for byte. "content" lists the byte ranges that come from the messages, tools and variables:
special tokens written there are not special, unless --parse-special is given.)";

std::string as_json(const RenderedPrompt& prompt, const std::vector<Token>& ids) {
  nlohmann::ordered_json out;
  out["text"] = prompt.text;
  out["ids"] = ids;
  out["content"] = nlohmann::json::array();
  for (const TextRange& r : prompt.content) out["content"].push_back({r.begin, r.end});
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void run_render(const RenderOptions& o) {
  Chat chat = chat_from_json(read_all(o.messages), o.messages);
  set_variables(chat, o.set);
  if (!o.chat_template.empty()) chat.template_name = o.chat_template;
  if (o.no_generation_prompt) chat.add_generation_prompt = false;
  chat.parse_special = o.parse_special;
  const auto model = load_with_progress(o.model, o.quiet);
  const RenderedPrompt prompt = render_chat(chat, *model).value();
  print(o.json ? as_json(prompt, encode_chat(chat, *model).value()) : prompt.text);
}

}  // namespace

Command add_render(CLI::App& parent) {
  auto options = std::make_shared<RenderOptions>();
  CLI::App* app =
      parent.add_subcommand("render", "The prompt that a conversation becomes by the model's chat template");
  app->add_option("--model", options->model, "GGUF file or Hugging Face folder")->required();
  app->add_option("--messages", options->messages,
                  "A JSON file: an array of messages, or an object with \"messages\", \"tools\" and "
                  "\"chat_template_kwargs\"; - = standard input")
      ->required();
  app->add_option("--set", options->set, "A variable of the template as NAME=JSON; may be given several times")
      ->allow_extra_args(false);
  app->add_option("--template", options->chat_template, "One of the model's named templates, e.g. tool_use");
  app->add_flag("--no-generation-prompt", options->no_generation_prompt, "Leave out the header of the answer");
  app->add_flag("--parse-special", options->parse_special, "Special tokens written in messages count as such");
  app->add_flag("--json", options->json, "One JSON object with the text, its token ids and the ranges of content");
  app->add_flag("--quiet", options->quiet, "No progress on standard error");
  app->footer(render_examples);
  return {app, [options] { run_render(*options); }};
}

}  // namespace frugal::tools
