#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <frugal/autopilot/record.hpp>
#include <frugal/core/error.hpp>

#include <cerrno>
#include <mutex>
#include <set>
#include <system_error>
#include <utility>

#include "core/read_file.hpp"

namespace frugal {

struct OutcomeLog::Impl {
  Impl(std::string p, int fd) : path(std::move(p)), file{fd} {}

  std::string path;
  detail::Descriptor file;
  Outcomes of{};
  mutable std::mutex mutex{};
  std::set<std::string> ids{};

  [[noreturn]] void fail(const std::string& what, int number) const { detail::fail_file(path, what, number); }
};

namespace {

std::string embedded_by(const Outcomes& of) {
  return of.embedder.empty() ? "without embeddings" : "with embeddings by \"" + of.embedder + "\"";
}

void check_same(const Outcomes& seen, const Outcomes& wanted, const std::string& path) {
  if (seen.tiers != wanted.tiers || seen.models != wanted.models) {
    std::string names;
    for (std::size_t i = 0; i < seen.tiers.size(); ++i)
      names += (i > 0 ? ", " : "") + seen.tiers[i] + (seen.models[i].empty() ? "" : " (" + seen.models[i] + ")");
    throw Error(Errc::bad_file,
                path + ": holds outcomes of other tiers: " + names + "; record these tiers to a file of their own");
  }
  if (seen.embedder != wanted.embedder)
    throw Error(Errc::bad_file, path + ": holds outcomes " + embedded_by(seen) + ", and these are to be recorded " +
                                    embedded_by(wanted) + "; record them to a file of their own");
}

}  // namespace

OutcomeLog::OutcomeLog(std::string path, const std::vector<RecordTier>& tiers, std::string embedder) {
  // read and write: an existing file is looked through first
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0644);
  impl_ = std::make_unique<Impl>(std::move(path), fd);
  Impl& impl = *impl_;
  if (fd < 0) impl.fail("open", errno);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) throw Error(Errc::busy, impl.path + ": another process is recording to it");
    impl.fail("lock", errno);
  }
  impl.of.embedder = std::move(embedder);
  for (const RecordTier& tier : tiers) {
    impl.of.tiers.push_back(tier.name);
    impl.of.models.push_back(tier.model);
  }
  std::string text = read_file(impl.path);
  const std::size_t end = text.rfind('\n');
  const std::size_t whole = end == std::string::npos ? 0 : end + 1;
  if (whole < text.size()) {
    if (::ftruncate(fd, static_cast<off_t>(whole)) != 0) impl.fail("cut off the unfinished last line", errno);
    text.resize(whole);
  }
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) return;
  const Outcomes seen = parse_outcomes(text, impl.path);
  check_same(seen, impl.of, impl.path);
  for (const Outcome& row : seen.rows) impl.ids.insert(row.id);
}

OutcomeLog::~OutcomeLog() = default;

bool OutcomeLog::contains(const std::string& id) const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->ids.contains(id);
}

std::size_t OutcomeLog::size() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->ids.size();
}

void OutcomeLog::append(const Outcome& outcome) {
  const std::string line = outcome_line(impl_->of, outcome);
  const std::lock_guard lock(impl_->mutex);
  if (!impl_->ids.insert(outcome.id).second)
    throw Error(Errc::invalid_argument, impl_->path + ": the id \"" + outcome.id + "\" is in it already");
  std::size_t done = 0;
  while (done < line.size()) {
    const ssize_t n = ::write(impl_->file.fd, line.data() + done, line.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) impl_->fail("write", errno);
    done += static_cast<std::size_t>(n);
  }
}

}  // namespace frugal
