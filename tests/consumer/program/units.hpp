// What both translation units of the consumer compute from frugal's headers: a difference is a broken one-definition
// rule.
#pragma once

#include <frugal/core/error.hpp>
#include <frugal/engine/engine.hpp>
#include <frugal/policy/output.hpp>
#include <frugal/version.hpp>

#include <cstddef>

struct Seen {
  const frugal::Version* version;
  std::size_t request_bytes, options_bytes;
};

Seen seen_by_first_unit();
Seen seen_by_second_unit();
