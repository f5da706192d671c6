// What `frugal replay` and `frugal advise` share: how a trace is read and priced, and where a report goes.
#pragma once

#include <frugal/advise/workload.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace frugal::tools {

struct TraceOptions {
  std::string trace, price_book;
  std::vector<std::string> deferrable;
  std::size_t cache_tokens = std::size_t{1} << 24U;
  bool quiet = false, strict = false;
};

/// Declares them; `options` must outlive the parse.
void add_trace_options(CLI::App& app, TraceOptions& options);
/// Reads a trace with a progress line on standard error. Throws frugal::Error.
Workload read(const std::string& path, const TraceOptions& options);
/// Each on a line of standard error.
void say(const char* command, const std::vector<std::string>& sentences);

/// The formats that can be read, for --help.
extern const char* const trace_formats;

}  // namespace frugal::tools
