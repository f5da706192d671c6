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

std::string read_all(const std::string& path) {
  return path == "-" ? read_descriptor(STDIN_FILENO, "standard input") : read_file(path);
}

void set_variables(Chat& chat, const std::vector<std::string>& pairs) {
  for (const std::string& pair : pairs) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0)
      throw Error(Errc::invalid_argument, "--set " + pair + ": must be NAME=JSON");
    const std::string name = pair.substr(0, equals), value = pair.substr(equals + 1);
    parse_json_tree(value, "--set " + name);
    // the text is joined, not the tree: keys keep their order, integers their digits; of equal names the last one counts
    std::string& all = chat.variables;
    const std::size_t end = all.empty() ? 0 : all.rfind('}');
    all = (all.empty() ? "{" : all.substr(0, end) + (all.find('"') < end ? "," : "")) + json(name).dump() + ":" +
          value + "}";
  }
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

namespace {

bool is_special(const std::string& path) {
  std::error_code unknown;
  const auto status = std::filesystem::status(path, unknown);
  return std::filesystem::exists(status) && !std::filesystem::is_regular_file(status);
}

}  // namespace

void check_output(const std::string& path, std::initializer_list<std::string> inputs) {
  if (path.empty()) throw Error(Errc::invalid_argument, "the output has no name");
  if (path == "-")
    throw Error(Errc::invalid_argument,
                "-: the output must be a file, standard output is not one here; a file of this name is ./-");
  std::error_code unknown;
  for (const std::string& input : inputs)
    if (std::filesystem::equivalent(path, input, unknown))
      throw Error(Errc::invalid_argument, path + ": is the input itself");
}

void write_file(const std::string& path, const std::string& text) {
  const std::string partial = is_special(path) ? path : path + ".partial";
  std::error_code failure;
  std::ofstream file(partial, std::ios::binary);
  file << text;
  file.close();
  const bool whole = !file.fail();
  if (whole && partial != path) std::filesystem::rename(partial, path, failure);
  if (whole && !failure) return;
  std::error_code ignored;
  if (partial != path) std::filesystem::remove(partial, ignored);
  throw Error(Errc::bad_file, path + ": cannot write");
}

static_assert(std::endian::native == std::endian::little, "NpyWriter writes native floats under the header '<f4'");

NpyWriter::NpyWriter(std::string path, std::uint64_t rows, std::uint64_t columns)
    : path_(std::move(path)), partial_(path_ + ".partial"), left_(rows * columns) {
  if (is_special(path_)) throw Error(Errc::bad_file, path_ + ": is there, and no regular file");
  file_.open(partial_, std::ios::binary);
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
