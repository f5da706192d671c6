// What the examples share: the backend to run on. A service names one and needs none of this.
#pragma once

#include <frugal/backend/reference.hpp>
#include <frugal/core/error.hpp>
#ifdef FRUGAL_WITH_CPU
#include <frugal/cpu/backend.hpp>
#endif
#ifdef FRUGAL_WITH_TORCH
#include <frugal/torch/backend.hpp>
#endif

#include <algorithm>
#include <memory>
#include <string>
#include <thread>

/// "cpu", "torch" or "reference"; empty = the fastest one in this build. threads 0 = one per processor.
inline std::shared_ptr<frugal::Backend> pick_backend(const std::string& name = "", unsigned threads = 0) {
  if (threads == 0) threads = std::max(1U, std::thread::hardware_concurrency());
#ifdef FRUGAL_WITH_CPU
  if (name.empty() || name == "cpu") return frugal::cpu_backend({.threads = threads});
#endif
#ifdef FRUGAL_WITH_TORCH
  if (name.empty() || name == "torch") return frugal::torch_backend({.threads = static_cast<int>(threads)});
#endif
  if (name.empty() || name == "reference") return frugal::reference_backend();
  throw frugal::Error(frugal::Errc::unavailable, "backend " + name + " is not in this build");
}
