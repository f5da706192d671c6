// The first translation unit, and the host: uses the engine far enough to link it and to catch its Error.
#include "units.hpp"

#include <cstdio>

#ifdef FRUGAL_WITH_CPU
#include <frugal/cpu/backend.hpp>
#endif

Seen seen_by_first_unit() { return {&frugal::header_version, sizeof(frugal::Request), sizeof(frugal::EngineOptions)}; }

namespace {

bool engine_refuses_empty_options() {
  try {
    frugal::Engine engine{frugal::EngineOptions{}};
  } catch (const frugal::Error& error) {
    return error.code() == frugal::Errc::invalid_argument;
  }
  return false;
}

}  // namespace

int main() {
  const Seen a = seen_by_first_unit(), b = seen_by_second_unit();
  const bool one_definition =
      a.version == b.version && a.request_bytes == b.request_bytes && a.options_bytes == b.options_bytes;
  const bool library_matches = frugal::version() == frugal::header_version;
  const bool refused = engine_refuses_empty_options();
#ifdef FRUGAL_WITH_CPU
  if (frugal::cpu_backend({.threads = 1})->name().empty()) return 1;
#endif
  std::printf("one definition: %d, library matches headers: %d, empty options refused: %d\n", one_definition,
              library_matches, refused);
  return one_definition && library_matches && refused ? 0 : 1;
}
