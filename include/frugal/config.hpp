// Build-time switches a host may replace: define them before the first frugal header, or on the command line.
#pragma once

// FRUGAL_API marks what a shared build of frugal exports; everything else stays hidden.
#ifndef FRUGAL_API
#if defined(_WIN32)
#define FRUGAL_API
#else
#define FRUGAL_API __attribute__((visibility("default")))
#endif
#endif

// FRUGAL_ASSERT guards frugal's own invariants, never a caller's input: what a user can get wrong ends in
// an Error. It is a no-op in release builds unless the host defines its own.
#ifndef FRUGAL_ASSERT
#if defined(FRUGAL_DEBUG_ASSERTS)
#include <cassert>
#define FRUGAL_ASSERT(condition) assert(condition)
#else
#define FRUGAL_ASSERT(condition) static_cast<void>(0)
#endif
#endif
