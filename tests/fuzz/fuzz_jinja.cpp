// Any bytes as a template, and what they render to: an Error or a text, never a crash, a leak or a run without end.
// The first line, where it starts with '{', is the conversation's extra variables; the rest is the template.
#include <frugal/text/chat_template.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line = input.starts_with("{\"") ? input.find('\n') : std::string_view::npos;
  const std::string extra(line == std::string_view::npos ? std::string_view() : input.substr(0, line));
  const std::string_view source = line == std::string_view::npos ? input : input.substr(line + 1);
  frugal::Chat chat;
  chat.messages = {
      {"system", "Be brief."}, {"user", "2 + 2?"}, {"assistant", "", "", "", {{"c1", "add", R"({"a": 2, "b": 2})"}}}};
  chat.tools = R"([{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}])";
  try {
    const frugal::ChatTemplate compiled(source, "fuzz");
    const auto text = compiled.render(chat, {"<s>", "</s>", extra, {}});
    if (!text && text.error().message().empty()) return 1;
  } catch (const frugal::Error&) {  // set-up throws it for a template that is none
  }
  return 0;
}
