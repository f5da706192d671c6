// ToolStyle: how a local model is told which functions it may call, and how it writes a call. Found out by rendering a
// small conversation with the model's own template.
#pragma once

#include <frugal/core/request.hpp>
#include <frugal/grammar/grammar.hpp>
#include <frugal/model/model.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace frugal::server {

struct ToolStyle {
  /// in_system: the template knows no tools, so they are described in the system message, in Hermes' words.
  enum class Told : std::uint8_t { by_template, in_system };
  /// tags: <tool_call>{"name", "arguments"}</tool_call> (Hermes, Qwen, SmolLM2). bare_json: the whole answer is
  /// {"name", "parameters"} (Llama 3). unknown: calls cannot be told from text, so tools are refused.
  enum class Written : std::uint8_t { tags, bare_json, unknown };
  Told told = Told::in_system;
  Written written = Written::tags;
  bool opens_thought = false;  ///< the template begins the answer with <think>
  /// What the template knows of thinking: nothing, a switch (enable_thinking: Qwen 3), or its effort by name
  /// (reasoning_effort: gpt-oss).
  enum class Effort : std::uint8_t { unknown, on_off, named } effort = Effort::unknown;
  friend bool operator==(const ToolStyle&, const ToolStyle&) = default;
};

/// Never throws; a model without template has the defaults.
ToolStyle tool_style(const Model& model);

/// The style of all of them; where they differ, one that is told nothing and whose calls cannot be read.
ToolStyle common_style(const std::vector<std::shared_ptr<const Model>>& models);

/// For Told::in_system: puts tools, calls and their results into plain messages. Leaves chats without any as they are.
void write_tools_as_text(Chat& chat);

/// The constraint of an answer that must be a call of one of these tools. `tools` is OpenAI's JSON list; `only` names
/// one of them, or is empty. Throws as grammar::tools does.
std::shared_ptr<const ConstraintSource> must_call(const std::string& tools, const std::string& only,
                                                  ToolStyle::Written written);

}  // namespace frugal::server
