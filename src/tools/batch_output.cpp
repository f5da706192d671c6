#include "tools/batch_output.hpp"

#include "tools/openai_answer.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/json_tree.hpp"
#include "core/read_file.hpp"

namespace frugal::tools {

using json = nlohmann::ordered_json;

namespace {

constexpr std::string_view head = R"({"id":"batch_req_)";  // how every line of an output begins

std::string printed(const json& line) { return line.dump(-1, ' ', false, json::error_handler_t::replace); }

json line_of(const BatchLine& line, json response, json error) {
  return {{"id", "batch_req_" + line.id},
          {"custom_id", line.custom_id ? json(*line.custom_id) : json()},
          {"response", std::move(response)},
          {"error", std::move(error)}};
}

json response_of(const BatchLine& line, int status, json body) {
  return {{"status_code", status}, {"request_id", "req_" + line.id}, {"body", std::move(body)}};
}

}  // namespace

std::string answered_line(const BatchLine& line, const Answer& answer, const Tokenizer* tokenizer) {
  const OpenAiAnswer of{line.kind, line.id, std::time(nullptr), line.request.logprobs.has_value()};
  return printed(line_of(line, response_of(line, 200, openai_body(of, answer, tokenizer)), nullptr));
}

std::string failed_line(const BatchLine& line, const BatchFault& fault) {
  const json error{{"code", std::string(to_string(fault.error.code()))},
                   {"message", fault.error.message()},
                   {"param", fault.param.empty() ? json() : json(fault.param)},
                   {"line", line.number}};
  json response;
  if (fault.status != 0) response = response_of(line, fault.status, openai_error_body(fault.error, fault.param));
  return printed(line_of(line, std::move(response), error));
}

BatchOutput::BatchOutput(std::string path) : path_(std::move(path)) {
  open(0);
  if (fd_ < 0) {
    const std::filesystem::path folder = std::filesystem::path(path_).parent_path();
    if (::access(folder.empty() ? "." : folder.c_str(), W_OK | X_OK) != 0) detail::fail_file(path_, "create", errno);
    return;
  }
  try {
    lock();
    read();
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

BatchOutput::~BatchOutput() {
  if (fd_ >= 0) ::close(fd_);  // which also ends the lock
}

void BatchOutput::open(int more_flags) {
  // without O_NONBLOCK opening a pipe waits for its reader
  fd_ = ::open(path_.c_str(), O_RDWR | O_APPEND | O_CLOEXEC | O_NONBLOCK | more_flags, 0666);
  if (fd_ < 0 && (errno != ENOENT || more_flags != 0)) detail::fail_file(path_, "open for writing", errno);
}

void BatchOutput::create() {
  if (fd_ >= 0) return;
  open(O_CREAT);
  lock();
  struct stat status {};
  if (::fstat(fd_, &status) != 0) detail::fail_file(path_, "examine", errno);
  if (status.st_size > 0) throw Error(Errc::busy, path_ + ": another run has made this file meanwhile; start again");
}

void BatchOutput::lock() const {
  struct stat status {};
  if (::fstat(fd_, &status) != 0) detail::fail_file(path_, "examine", errno);
  if (!S_ISREG(status.st_mode))
    throw Error(Errc::bad_file, path_ + ": is " + detail::kind_of_file(status.st_mode) +
                                    ", not a regular file; a batch that can be resumed needs one");
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
  if (errno == EWOULDBLOCK) throw Error(Errc::busy, path_ + ": another run writes to this file now");
  detail::fail_file(path_, "lock", errno);
}

void BatchOutput::read() {
  std::string rest;  // of the line that is not complete yet
  std::size_t begin = 0, number = 0;
  std::string block(std::size_t{1} << 20, '\0');
  for (std::size_t at = 0;;) {
    const ssize_t got = ::pread(fd_, block.data(), block.size(), static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) detail::fail_file(path_, "read after byte " + std::to_string(at), errno);
    if (got == 0) break;
    at += static_cast<std::size_t>(got);
    std::string_view fresh(block.data(), static_cast<std::size_t>(got));
    for (std::size_t end = 0; (end = fresh.find('\n')) != std::string_view::npos; fresh.remove_prefix(end + 1)) {
      rest += fresh.substr(0, end);
      take(rest, ++number);
      begin += rest.size() + 1;
      rest.clear();
    }
    rest += fresh;
  }
  if (rest.empty()) return;
  const std::size_t common = std::min(rest.size(), head.size());
  if (std::string_view(rest).substr(0, common) != head.substr(0, common))
    throw Error(Errc::bad_file, path_ + ": line " + std::to_string(number + 1) +
                                    ": not a line of a batch's output; nothing was changed");
  cut(begin);
}

void BatchOutput::take(std::string_view line, std::size_t number) {
  const std::string where = path_ + ": line " + std::to_string(number);
  const auto foreign = [&] {
    return Error(Errc::bad_file, where + ": not a line of a batch's output; nothing was changed");
  };
  if (!line.starts_with(head)) throw foreign();
  const nlohmann::json tree = parse_json_tree(line, where);
  const auto member = [&](const nlohmann::json& object, const char* key) {
    const auto found = object.is_object() ? object.find(key) : object.end();
    return found == object.end() ? nlohmann::json() : *found;
  };
  const nlohmann::json custom_id = member(tree, "custom_id"), response = member(tree, "response");
  Known known{number, tree.at("id").get<std::string>().substr(std::string_view("batch_req_").size()),
              member(response, "status_code") == 200};
  if (response.is_null()) {
    malformed_.emplace(known.id, std::move(known));
    return;
  }
  if (!custom_id.is_string()) throw foreign();
  Known& entry = requests_[custom_id.get<std::string>()];
  if (!entry.answered) entry = std::move(known);
}

void BatchOutput::cut(std::size_t end) const {
  if (::ftruncate(fd_, static_cast<off_t>(end)) != 0) detail::fail_file(path_, "cut off its unfinished line", errno);
}

const BatchOutput::Known* BatchOutput::find(const BatchLine& line) const {
  const auto& among = line.malformed() ? malformed_ : requests_;
  const auto found = among.find(line.malformed() ? line.id : *line.custom_id);
  return found == among.end() ? nullptr : &found->second;
}

bool BatchOutput::holds(const BatchLine& line) const {
  const Known* known = find(line);
  if (known == nullptr) return false;
  if (known->id == line.id) return true;
  if (known->answered)
    throw Error(Errc::invalid_argument,
                path_ + ": line " + std::to_string(known->line) + " answers " + json_excerpt(*line.custom_id) +
                    " for another text than line " + std::to_string(line.number) +
                    " of the input has; give that a custom_id of its own, or write to another file");
  return false;
}

bool BatchOutput::answered(const BatchLine& line) const {
  const Known* known = find(line);
  return known != nullptr && known->answered;
}

void BatchOutput::append(std::string line) {
  line += '\n';
  ssize_t wrote = 0;
  do wrote = ::write(fd_, line.data(), line.size());
  while (wrote < 0 && errno == EINTR);
  if (wrote == static_cast<ssize_t>(line.size())) return;
  const int reason = wrote < 0 ? errno : ENOSPC;
  struct stat status {};
  if (wrote > 0 && ::fstat(fd_, &status) == 0) cut(static_cast<std::size_t>(status.st_size - wrote));
  detail::fail_file(path_, "write", reason);
}

void BatchOutput::sync() const {
  if (::fdatasync(fd_) != 0 && errno != EINVAL) detail::fail_file(path_, "write to the disk", errno);
}

}  // namespace frugal::tools
