// Any bytes as a messages file: a conversation that real templates render or refuse, or an Error.
#include <frugal/text/chat_template.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace {

const frugal::ChatTemplate& compiled(std::size_t i) {
  // what templates do with a conversation, in small
  static const std::array<frugal::ChatTemplate, 2> all{
      frugal::ChatTemplate(
          "{% for m in messages %}<|{{ m.role }}|>{{ m.content or '' }}{% for c in m.tool_calls or [] %}"
          "{{ c.function.arguments | tojson }}{% endfor %}{% endfor %}{{ tools | tojson }}"),
      frugal::ChatTemplate(
          "{% macro show(x) %}{% if x is string %}{{ x | trim }}{% elif x is iterable %}{% for p in x %}"
          "{{ p.text }}{% endfor %}{% endif %}{% endmacro %}{% for m in messages %}{{ show(m.content) }}"
          "{% for k, v in m.items() %}{{ k }}={{ v }};{% endfor %}{% endfor %}{% for t in tools or [] %}"
          "{{ t.function.name | upper }}{{ t.function.parameters | dictsort }}{% endfor %}")};
  return all[i];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const frugal::Chat chat = frugal::chat_from_json({reinterpret_cast<const char*>(data), size}, "fuzz.json");
    for (std::size_t i = 0; i < 2; ++i) {
      const auto prompt = compiled(i).render(chat, {"<s>", "</s>", {}, {}});
      if (!prompt && prompt.error().message().empty()) return 1;
      if (!prompt) continue;
      std::size_t last = 0;
      for (const frugal::TextRange& r : prompt->content) {
        if (r.begin < last || r.begin >= r.end || r.end > prompt->text.size()) return 1;
        last = r.end;
      }
    }
  } catch (const frugal::Error& error) {
    if (error.message().empty()) return 1;
  }
  return 0;
}
