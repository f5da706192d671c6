#include "tools/console.hpp"

#include <unistd.h>
#include <cstdio>

namespace frugal::tools {

Progress::Progress(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (open_) std::fputc('\n', stderr);
}

void Progress::at(std::string_view stage, double share) {
  if (quiet_) return;
  const int percent = static_cast<int>(share * 100.0);
  const bool next_stage = stage != stage_;
  if (!next_stage && (percent == percent_ || !terminal_)) return;
  stage_ = stage;
  percent_ = percent;
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s: %d %%", stage_.c_str(), percent);
    open_ = true;
  } else {
    std::fprintf(stderr, "%s\n", stage_.c_str());
  }
  std::fflush(stderr);
}

std::shared_ptr<const Model> load_with_progress(const std::string& path, bool quiet) {
  Progress progress(quiet);
  progress.at("loading " + path, 0.0);
  return load_model(path, {.progress = [&](std::string_view stage, double share) { progress.at(stage, share); }});
}

void print(std::string_view text) {
  const std::size_t written = std::fwrite(text.data(), 1, text.size(), stdout);
  if (written != text.size() || std::fflush(stdout) != 0)
    throw Error(Errc::bad_file, "standard output: cannot write (disk full or pipe closed)");
}

}  // namespace frugal::tools
