#include "tools/files.hpp"

#include <unistd.h>

#include <frugal/core/error.hpp>

#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/json_tree.hpp"
#include "core/read_file.hpp"

namespace frugal::tools {

using nlohmann::json;

namespace {

std::string text_of(const json& object, const char* key, const std::string& where, bool required) {
  const auto field = object.find(key);
  if (field == object.end() || field->is_null()) {
    if (required) throw Error(Errc::invalid_argument, where + ": \"" + key + "\" is missing");
    return {};
  }
  if (!field->is_string()) throw Error(Errc::invalid_argument, where + ": \"" + key + "\" must be a string");
  return field->get<std::string>();
}

ToolCall tool_call_of(const json& entry, const std::string& where) {
  if (!entry.is_object()) throw Error(Errc::invalid_argument, where + ": must be an object");
  const auto inner = entry.find("function");
  const json& function = inner == entry.end() ? entry : *inner;
  if (!function.is_object()) throw Error(Errc::invalid_argument, where + ": \"function\" must be an object");
  const auto arguments = function.find("arguments");
  const bool as_object = arguments != function.end() && arguments->is_object();
  return {.id = text_of(entry, "id", where, false),
          .name = text_of(function, "name", where, true),
          .arguments = as_object ? arguments->dump() : text_of(function, "arguments", where, true)};
}

Message message_of(const json& entry, const std::string& where) {
  if (!entry.is_object()) throw Error(Errc::invalid_argument, where + ": must be an object with role and content");
  const auto calls = entry.find("tool_calls");
  const bool has_calls = calls != entry.end() && !calls->is_null();
  Message message{.role = text_of(entry, "role", where, true),
                  .content = text_of(entry, "content", where, !has_calls),
                  .name = text_of(entry, "name", where, false),
                  .tool_call_id = text_of(entry, "tool_call_id", where, false)};
  if (!has_calls) return message;
  if (!calls->is_array()) throw Error(Errc::invalid_argument, where + ": \"tool_calls\" must be an array");
  for (const json& call : *calls) message.tool_calls.push_back(tool_call_of(call, where + ", tool call"));
  return message;
}

}  // namespace

std::string read_all(const std::string& path) {
  return path == "-" ? read_descriptor(STDIN_FILENO, "standard input") : read_file(path);
}

std::vector<Token> parse_ids(const std::string& text, const std::string& origin) {
  const json parsed = parse_json_tree(text, origin);
  if (!parsed.is_array()) throw Error(Errc::invalid_argument, origin + ": must be a JSON array of token ids");
  std::vector<Token> ids;
  ids.reserve(parsed.size());
  for (const json& entry : parsed) {
    const std::string where = origin + ": entry " + std::to_string(ids.size());
    if (!entry.is_number_integer()) throw Error(Errc::invalid_argument, where + " is not a whole number");
    const auto id = entry.get<std::int64_t>();
    if (id < 0 || id > std::numeric_limits<Token>::max())
      throw Error(Errc::invalid_argument, where + " is not a token id");
    ids.push_back(static_cast<Token>(id));
  }
  return ids;
}

Chat parse_chat(const std::string& text, const std::string& origin) {
  const json parsed = parse_json_tree(text, origin);
  const bool bare = parsed.is_array();
  if (!bare && !(parsed.is_object() && parsed.contains("messages") && parsed["messages"].is_array()))
    throw Error(Errc::invalid_argument,
                origin + ": must be an array of messages, or an object with a \"messages\" array");
  Chat chat;
  for (const json& entry : bare ? parsed : parsed["messages"])
    chat.messages.push_back(message_of(entry, origin + ": message " + std::to_string(chat.messages.size())));
  if (chat.messages.empty()) throw Error(Errc::invalid_argument, origin + ": holds no message");
  if (!bare && parsed.contains("tools")) chat.tools = parsed["tools"].dump();
  return chat;
}

static_assert(std::endian::native == std::endian::little, "NpyWriter writes native floats under the header '<f4'");

NpyWriter::NpyWriter(std::string path, std::uint64_t rows, std::uint64_t columns)
    : path_(std::move(path)), partial_(path_ + ".partial"), file_(partial_, std::ios::binary), left_(rows * columns) {
  check("create");
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows) + ", " +
                       std::to_string(columns) + "), }";
  // Magic, version and length take 10 bytes; the data must start at a multiple of 64.
  constexpr std::size_t fixed = 10, alignment = 64;
  header.append((alignment - (fixed + header.size() + 1) % alignment) % alignment, ' ');
  header += '\n';
  const auto length = static_cast<std::uint16_t>(header.size());
  file_.write("\x93NUMPY\x01\x00", 8);
  file_.put(static_cast<char>(length & 0xFF)).put(static_cast<char>(length >> 8));
  file_ << header;
  check("write");
}

NpyWriter::~NpyWriter() {
  if (finished_) return;
  file_.close();
  std::error_code ignored;
  std::filesystem::remove(partial_, ignored);
}

void NpyWriter::write(std::span<const float> values) {
  if (values.size() > left_) throw Error(Errc::internal, path_ + ": more values than the header says");
  file_.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size_bytes()));
  check("write");
  left_ -= values.size();
}

void NpyWriter::finish() {
  if (left_ != 0) throw Error(Errc::internal, path_ + ": fewer values than the header says");
  file_.close();
  check("write");
  std::error_code failure;
  std::filesystem::rename(partial_, path_, failure);
  if (failure) throw Error(Errc::bad_file, path_ + ": cannot rename from " + partial_ + ": " + failure.message());
  finished_ = true;
}

void NpyWriter::check(const char* action) const {
  if (!file_) throw Error(Errc::bad_file, partial_ + ": cannot " + action + ": " + std::strerror(errno));
}

}  // namespace frugal::tools
