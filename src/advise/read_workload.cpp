// A trace file becomes a Workload. Lines that cannot be read are counted, a file of nothing else is an error.
#include <frugal/advise/workload.hpp>
#include <frugal/core/error.hpp>
#include <frugal/meter/trace_reader.hpp>

#include <cstdint>
#include <string>
#include <utility>

#include "core/printable.hpp"

namespace frugal {

Workload read_workload(const std::string& path, WorkloadOptions options, const ReadHooks& hooks) {
  constexpr std::uint64_t every = 8192;
  Workload workload(std::move(options));
  TraceReader reader(path);
  TraceRecord record;
  std::uint64_t good = 0, bad = 0;
  for (bool more = true; more;) {
    try {
      more = reader.next(record);
      if (more) {
        workload.add(std::move(record));
        ++good;
      }
    } catch (const Error& e) {
      if (!hooks.bad_line || e.code() != Errc::bad_file) throw;  // not a line but the file
      hooks.bad_line(e);
      workload.note_bad_line();
      ++bad;
    }
    if (hooks.progress && (good + bad) % every == 0) hooks.progress(reader.bytes_read());
  }
  if (good == 0) throw Error(Errc::bad_file, printable(path) + ": no request in it");
  if (bad > good)
    throw Error(Errc::bad_file, printable(path) + ": not a trace: " + std::to_string(bad) +
                                    " lines cannot be read, and only " + std::to_string(good) + " requests can");
  for (const std::string& name : reader.unread_fields()) workload.note_unread_field(name);
  workload.finish();
  return workload;
}

}  // namespace frugal
