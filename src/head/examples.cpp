#include <frugal/core/error.hpp>
#include <frugal/head/train.hpp>

#include <nlohmann/json.hpp>

#include "core/json_tree.hpp"
#include "core/read_file.hpp"

namespace frugal {

std::vector<HeadExample> read_head_examples(const std::string& path) {
  const std::string text = read_file(path);
  std::vector<HeadExample> out;
  std::string_view rest(text);
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view content = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (content.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = path + " line " + std::to_string(number);
    const nlohmann::json object = parse_json_tree(content, where);
    const auto member = [&](const char* name) -> std::string {
      const auto found = object.find(name);
      if (found == object.end()) return {};
      if (!found->is_string()) throw Error(Errc::bad_file, where + ": \"" + name + "\" must be a string");
      return found->get<std::string>();
    };
    if (!object.is_object()) throw Error(Errc::bad_file, where + ": must be a JSON object");
    HeadExample example{member(object.contains("text") ? "text" : "prompt"), member("label")};
    if (example.text.empty()) throw Error(Errc::bad_file, where + ": has no \"text\" or \"prompt\", or an empty one");
    if (example.label.empty()) throw Error(Errc::bad_file, where + ": has no \"label\", or an empty one");
    out.push_back(std::move(example));
  }
  if (out.empty()) throw Error(Errc::bad_file, path + ": no examples in it");
  return out;
}

}  // namespace frugal
