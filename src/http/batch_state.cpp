#include "http/batch_state.hpp"

#include <frugal/core/error.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "core/json_depth.hpp"
#include "core/read_file.hpp"
#include "http/dialect.hpp"

namespace frugal::http {

namespace {

// Providers keep results for 29 (Anthropic) or 30 days (OpenAI).
constexpr std::chrono::days kept{28};

[[noreturn]] void bad(const std::string& path, const std::string& what) {
  throw Error(Errc::bad_file, path + ": " + what);
}

SentBatch batch_of(const Json& entry, const std::string& path) {
  SentBatch out{.id = text(entry, "id"), .mark = text(entry, "mark")};
  const std::optional<std::uint64_t> sent = count(entry, "sent");
  const Json& items = member(entry, "items");
  if (out.mark.empty() || !sent || !items.is_array()) bad(path, "a batch lacks its mark, its time or its items");
  out.sent = std::chrono::sys_seconds(std::chrono::seconds(*sent));
  for (const Json& item : items) {
    if (!item.is_string()) bad(path, "an item is not a string");
    out.items.insert(item.get<std::string>());
  }
  return out;
}

// Written beside it, then put in its place.
void replace(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  const int file = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) bad(fresh, "cannot be written");
  std::string_view left(text);
  while (!left.empty()) {
    const ssize_t done = ::write(file, left.data(), left.size());
    if (done <= 0) break;
    left.remove_prefix(static_cast<std::size_t>(done));
  }
  const bool whole = left.empty() && ::fsync(file) == 0;
  ::close(file);
  if (!whole || std::rename(fresh.c_str(), path.c_str()) != 0) bad(path, "cannot be written");
}

}  // namespace

BatchState::BatchState(std::string path, const HttpOptions& of)
    : path_(std::move(path)), owner_(std::to_string(static_cast<int>(of.api)) + " " + of.url + " " + of.model) {
  if (path_.empty() || ::access(path_.c_str(), F_OK) != 0) return;
  const std::string all = read_file(path_);
  const Json tree = json_excess(all) == JsonExcess::none ? Json::parse(all, nullptr, false) : Json();
  if (!tree.is_object() || count(tree, "frugal_batches") != std::optional<std::uint64_t>(1) ||
      !member(tree, "batches").is_array())
    bad(path_, "is not a state file of batches");
  if (text(tree, "of") != owner_) bad(path_, "belongs to another API, URL or model");
  const auto now = std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
  for (const Json& entry : member(tree, "batches")) {
    SentBatch batch = batch_of(entry, path_);
    if (now - batch.sent < kept) batches_.push_back(std::move(batch));
  }
}

void BatchState::save() const {
  if (path_.empty()) return;
  Json list = Json::array();
  for (const SentBatch& b : batches_) {
    if (b.items.empty()) continue;
    Json items = Json::array();
    for (const std::string& item : b.items) items.push_back(item);
    list.push_back(
        {{"id", b.id}, {"mark", b.mark}, {"sent", b.sent.time_since_epoch().count()}, {"items", std::move(items)}});
  }
  replace(path_, dumped({{"frugal_batches", 1}, {"of", owner_}, {"batches", std::move(list)}}) + "\n");
}

}  // namespace frugal::http
